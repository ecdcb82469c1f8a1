//! Certified values of the NIST Statistical Reference Datasets, linear regression, higher level of difficulty.

mod support;

use ensemble_core::{Estimator, Pipeline};
use ensemble_native::{LinearRegression, Ridge, StandardScaler};
use support::Problem;

/// Deflator, product, unemployed, armed forces, population, year; employed.
const LONGLEY: [[f64; 7]; 16] = [
    [83.0, 234289.0, 2356.0, 1590.0, 107608.0, 1947.0, 60323.0],
    [88.5, 259426.0, 2325.0, 1456.0, 108632.0, 1948.0, 61122.0],
    [88.2, 258054.0, 3682.0, 1616.0, 109773.0, 1949.0, 60171.0],
    [89.5, 284599.0, 3351.0, 1650.0, 110929.0, 1950.0, 61187.0],
    [96.2, 328975.0, 2099.0, 3099.0, 112075.0, 1951.0, 63221.0],
    [98.1, 346999.0, 1932.0, 3594.0, 113270.0, 1952.0, 63639.0],
    [99.0, 365385.0, 1870.0, 3547.0, 115094.0, 1953.0, 64989.0],
    [100.0, 363112.0, 3578.0, 3350.0, 116219.0, 1954.0, 63761.0],
    [101.2, 397469.0, 2904.0, 3048.0, 117388.0, 1955.0, 66019.0],
    [104.6, 419180.0, 2822.0, 2857.0, 118734.0, 1956.0, 67857.0],
    [108.4, 442769.0, 2936.0, 2798.0, 120445.0, 1957.0, 68169.0],
    [110.8, 444546.0, 4681.0, 2637.0, 121950.0, 1958.0, 66513.0],
    [112.6, 482704.0, 3813.0, 2552.0, 123366.0, 1959.0, 68655.0],
    [114.2, 502601.0, 3931.0, 2514.0, 125368.0, 1960.0, 69564.0],
    [115.7, 518173.0, 4806.0, 2572.0, 127852.0, 1961.0, 69331.0],
    [116.9, 554894.0, 4007.0, 2827.0, 130081.0, 1962.0, 70551.0],
];

fn longley() -> (Problem, Vec<f64>) {
    let x = LONGLEY.iter().flat_map(|r| r[..6].iter().copied()).collect();
    let y = LONGLEY.iter().map(|r| r[6]).collect();
    let certified = vec![
        -3482258.63459582,
        15.0618722713733,
        -0.0358191792925910,
        -2.02022980381683,
        -1.03322686717359,
        -0.0511041056535807,
        1829.15146461355,
    ];
    (Problem { x, y, p: 6 }, certified)
}

/// The polynomial whose coefficients are the powers of `ratio`, at 0 to 20; its values are typed to the digits NIST prints.
fn wampler(ratio: f64) -> (Problem, Vec<f64>) {
    let certified: Vec<f64> = (0..6)
        .map(|k| if ratio == 1.0 { 1.0 } else { [1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001][k] })
        .collect();
    let power = |x: i64, k: u32| x.pow(k) as f64;
    let x = (0..21).flat_map(|x| (1..6).map(move |k| power(x, k))).collect();
    // In units of 1e-5, exactly: one rounding.
    let unit = if ratio == 1.0 { 1.0 } else { 1e5 };
    let weights: [i64; 6] = if ratio == 1.0 { [1; 6] } else { [100_000, 10_000, 1_000, 100, 10, 1] };
    let y =
        (0..21i64).map(|x| (0..6).map(|k| weights[k] * x.pow(k as u32)).sum::<i64>() as f64 / unit).collect();
    (Problem { x, y, p: 5 }, certified)
}

/// Correct digits of each coefficient, intercept first: -log10 of the relative error, 15 at most.
fn digits(learner: &dyn Estimator, problem: &Problem, certified: &[f64]) -> Vec<f64> {
    let model = problem.fit(learner);
    let form = model.as_linear().unwrap();
    let got = [form.intercept].into_iter().chain(form.coefficients.iter().copied());
    got.zip(certified).map(|(g, c)| (-((g - c).abs() / c.abs()).log10()).min(15.0)).collect()
}

fn least(digits: &[f64]) -> f64 {
    digits.iter().copied().fold(f64::INFINITY, f64::min)
}

#[test]
fn certified_values_are_reproduced() {
    // The floors are digits reached, less a little; scikit-learn 1.9.1 reaches 13.6, 0.2 and none.
    for (name, (problem, certified), floor) in
        [("Longley", longley(), 13.0), ("Wampler1", wampler(1.0), 8.0), ("Wampler2", wampler(0.1), 8.0)]
    {
        let bare = digits(&LinearRegression::new(), &problem, &certified);
        println!("{name}: {bare:.2?}");
        assert!(least(&bare) >= floor, "{name}: {bare:.2?}");
        let scaler = std::sync::Arc::new(StandardScaler::new());
        let scaled = Pipeline::new(vec![scaler], std::sync::Arc::new(LinearRegression::new()));
        let scaled = digits(&scaled, &problem, &certified);
        println!("{name} behind a scaler: {scaled:.2?}");
        assert!(least(&scaled) >= 8.0, "{name} behind a scaler: {scaled:.2?}");
        let ridge = digits(&Ridge::new(0.0), &problem, &certified);
        println!("{name} ridge: {ridge:.2?}");
        assert!(least(&ridge) >= 8.0, "{name} ridge without penalty: {ridge:.2?}");
    }
}
