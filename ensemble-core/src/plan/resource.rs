//! What is held while layers are fitted, and from which to which.

use serde::Serialize;

/// Bytes that are held from one layer to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Resource {
    /// What it is.
    pub(crate) what: &'static str,
    /// The layer that makes it.
    pub(crate) layer: usize,
    pub(crate) bytes: u64,
    /// Whether it is anonymous memory; otherwise it is a file.
    pub(crate) in_memory: bool,
    /// The last layer that needs it.
    pub(crate) last: usize,
}

/// What is held, layer by layer, and which of it the rows of the layer in hand come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resources {
    all: Vec<Resource>,
    /// Those that the layer reads, through layers that are made in cache.
    chain: Vec<usize>,
}

impl Resources {
    /// Held from `layer` on, to the end of the fit.
    pub(crate) fn keep(&mut self, what: &'static str, layer: usize, bytes: u64, in_memory: bool) {
        self.all.push(Resource { what, layer, bytes, in_memory, last: usize::MAX });
    }

    /// Held from `layer` on, for as long as layers read it.
    pub(crate) fn lend(&mut self, what: &'static str, layer: usize, bytes: u64, in_memory: bool) {
        self.chain.push(self.all.len());
        self.all.push(Resource { what, layer, bytes, in_memory, last: layer });
    }

    /// The layer's rows come from what was lent and no further: what is lent next is all that the layer above reads.
    pub(crate) fn cut(&mut self) {
        self.chain.clear();
    }

    /// A layer reads what was lent.
    pub(crate) fn read(&mut self, layer: usize) {
        for at in &self.chain {
            self.all[*at].last = layer;
        }
    }

    /// Bytes of memory held while a layer is fitted, without those that it makes itself.
    pub(crate) fn held(&self, layer: usize) -> u64 {
        let alive = self.all.iter().filter(|r| r.in_memory && r.layer <= layer && r.last >= layer);
        alive.map(|r| r.bytes).fold(0, u64::saturating_add)
    }

    /// All of them, of a fit of so many layers.
    pub(crate) fn into_list(self, n_layers: usize) -> Vec<Resource> {
        let end = n_layers.saturating_sub(1);
        let to_end = |r: Resource| Resource { last: r.last.min(end), ..r };
        self.all.into_iter().filter(|r| r.bytes > 0).map(to_end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_is_held_as_long_as_layers_read_it() {
        let mut held = Resources::default();
        held.keep("targets", 0, 1, true);
        held.lend("table", 0, 10, true);
        held.read(0);
        assert_eq!(held.held(0), 11);
        // A layer that is made in cache from the table and the models below.
        held.lend("models", 1, 100, true);
        held.read(1);
        assert_eq!(held.held(1), 111);
        // One that reads prediction columns, in a file.
        held.cut();
        held.lend("predictions", 2, 1000, false);
        held.read(2);
        assert_eq!(held.held(2), 1);
        let last: Vec<usize> = held.into_list(3).iter().map(|r| r.last).collect();
        assert_eq!(last, [2, 1, 1, 2]);
    }
}
