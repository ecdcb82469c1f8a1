mod support;
use std::time::Instant;
use ensemble_core::*;
use ensemble_native::*;
#[test]
fn timing() {
    let (n, p) = (20000usize, 50usize);
    let mut st = 12345u64;
    let mut u = || { st ^= st << 13; st ^= st >> 7; st ^= st << 17; (st >> 11) as f64 / (1u64 << 53) as f64 };
    let x: Vec<f64> = (0..n * p).map(|_| u()).collect();
    let y: Vec<f64> = x.chunks(p).map(|r| 10.0 * (3.0 * r[0] * r[1]).sin() + 5.0 * r[3] + r.iter().enumerate().map(|(j, v)| v * ((j * 7) % 11) as f64 / 10.0).sum::<f64>()+ u()).collect();
    let pr = support::Problem { x, y, p };
    let s = pr.absorb(&[Box::new(Moments::new(p)), Box::new(Extrema::new(p))], 0..n);
    let ls: Vec<(&str, Box<dyn MergeFit>)> = vec![
        ("ols", Box::new(LinearRegression::new())), ("ols_noint", Box::new(LinearRegression::new().fit_intercept(false))),
        ("ols_pos", Box::new(LinearRegression::new().positive(true))),
        ("ridge", Box::new(Ridge::new(1.0))), ("lasso .01", Box::new(Lasso::new(0.01))), ("lasso 0.1", Box::new(Lasso::new(0.1))),
        ("lasso .01 1e-13", Box::new(Lasso::new(0.01).tol(1e-13).max_iter(100000))),
        ("enet", Box::new(ElasticNet::new(0.1))), ("nnls", Box::new(NonNegativeLeastSquares::new())), ("convex", Box::new(ConvexCombination::new())), ("mean", Box::new(Mean::new()))];
    for (name, l) in &ls {
        let mut best = f64::INFINITY;
        for _ in 0..20 { let t = Instant::now(); for _ in 0..50 { std::hint::black_box(l.fit_from(&s).unwrap()); } best = best.min(t.elapsed().as_secs_f64() / 50.0); }
        println!("{name}: {:.1} us", best * 1e6);
    }
    for (name, l) in [("ss", Box::new(StandardScaler::new()) as Box<dyn MergeTransform>), ("mm", Box::new(MinMaxScaler::new())), ("center", Box::new(Center::new()))] {
        let t = Instant::now(); for _ in 0..1000 { std::hint::black_box(l.fit_from(&s).unwrap()); } println!("{name}: {:.2} us", t.elapsed().as_secs_f64() * 1e3);
    }
    let t = Instant::now(); for _ in 0..5 { std::hint::black_box(pr.absorb(&[Box::new(TsqrStatistic::new(p))], 0..n)); } 
    println!("tsqr absorb 20000x50: {:.2} ms", t.elapsed().as_secs_f64() / 5.0 * 1e3);
    let t = Instant::now(); for _ in 0..5 { std::hint::black_box(pr.absorb(&[Box::new(Moments::new(p))], 0..n)); } 
    println!("moments absorb 20000x50: {:.2} ms", t.elapsed().as_secs_f64() / 5.0 * 1e3);
}
