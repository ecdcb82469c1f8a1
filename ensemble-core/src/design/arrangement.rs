//! The order in which a fit reads rows.

use crate::error::{Error, Result};

/// The order in which rows are read: as they lie, or written once in another order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Arrangement {
    /// As they lie.
    #[default]
    InPlace,
    /// Row i is the input's row `order[i]`: the table is written once in this order. Four bytes a row.
    Order(Vec<u32>),
}

impl Arrangement {
    /// Rows by ascending number of their part, those of one part in the order given by `order`, or as they lie. In place when that is
    /// how they lie.
    ///
    /// # Errors
    /// For 2^32 rows and more.
    pub fn by_part(parts: &[u32], order: Option<&[u32]>) -> Result<Self> {
        check_rows(parts.len())?;
        if order.is_none() && parts.is_sorted() {
            return Ok(Self::InPlace);
        }
        let n_parts = parts.iter().max().map_or(0, |p| *p as usize + 1);
        // A counting sort, which is stable.
        let mut next = vec![0u32; n_parts + 1];
        parts.iter().for_each(|part| next[*part as usize + 1] += 1);
        (1..=n_parts).for_each(|part| next[part] += next[part - 1]);
        let mut out = vec![0; parts.len()];
        let mut put = |row: u32| {
            let slot = &mut next[parts[row as usize] as usize];
            out[*slot as usize] = row;
            *slot += 1;
        };
        match order {
            Some(order) => order.iter().for_each(|row| put(*row)),
            None => (0..parts.len() as u32).for_each(&mut put),
        }
        Ok(Self::Order(out))
    }

    /// The input's row that is read as row `row`.
    ///
    /// # Panics
    /// When rows are put in another order and there is no such row.
    pub fn input_row(&self, row: usize) -> usize {
        self.order().map_or(row, |order| order[row] as usize)
    }

    /// The order, where it is another than the rows lie in.
    pub fn order(&self) -> Option<&[u32]> {
        match self {
            Self::InPlace => None,
            Self::Order(order) => Some(order),
        }
    }
}

/// That rows can be numbered in an order.
///
/// # Errors
/// For 2^32 rows and more.
pub(crate) fn check_rows(nrows: usize) -> Result<()> {
    match u32::try_from(nrows) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::unsupported("rows in another order must be fewer than 2^32")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_and_keep_the_order_of_their_rows() {
        assert_eq!(Arrangement::by_part(&[0, 0, 1, 2], None).unwrap(), Arrangement::InPlace);
        let got = Arrangement::by_part(&[1, 0, 2, 0, 1], None).unwrap();
        assert_eq!(got.order().unwrap(), [1, 3, 0, 4, 2]);
        let got = Arrangement::by_part(&[1, 0, 2, 0, 1], Some(&[4, 3, 2, 1, 0])).unwrap();
        assert_eq!(got.order().unwrap(), [3, 1, 4, 0, 2]);
    }
}
