//! Taking the nodes out of smartcore's trees, whose fields are private, by way of their serde implementations.
//!
//! A [`Collector`] is a serializer that writes nothing but nodes: smartcore's tree or forest is "serialised" into it, and what comes
//! out is one flat list of small nodes. That needs no intermediate text or tree of values, which for a forest would be many times
//! the forest's size.

use std::fmt;

use serde::ser::{self, Impossible, Serialize, SerializeSeq, SerializeStruct, Serializer};

/// A node of a binary tree: 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Node {
    /// Rows whose value is at most this go to `yes`; of a leaf, its value.
    pub(crate) threshold: f64,
    /// The column asked about, or [`Node::LEAF`].
    pub(crate) feature: u32,
    pub(crate) yes: u32,
    pub(crate) no: u32,
}

impl Node {
    pub(crate) const LEAF: u32 = u32::MAX;

    fn leaf(value: f64) -> Self {
        Self { threshold: value, feature: Self::LEAF, yes: 0, no: 0 }
    }
}

/// Trees as one list of nodes. Children stand after their parents.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<Node>,
    /// Where each tree starts.
    pub(crate) roots: Vec<u32>,
}

impl Nodes {
    /// The nodes of all trees in `model`, a fitted tree or forest of smartcore's.
    ///
    /// # Errors
    /// When the model is not made as smartcore 0.7 makes them, or has more than 2^32 nodes.
    pub(crate) fn of(model: &impl Serialize) -> Result<Nodes, NotTrees> {
        let mut count = Collector::default();
        model.serialize(&mut count)?;
        let mut collector = Collector {
            keep: true,
            found: Nodes {
                nodes: Vec::with_capacity(count.length),
                roots: Vec::with_capacity(count.n_roots),
            },
            ..Collector::default()
        };
        model.serialize(&mut collector)?;
        if collector.found.roots.is_empty() {
            return Err(ser::Error::custom("no tree in it"));
        }
        Ok(collector.found)
    }
}

/// Walks a model and keeps its nodes, or only counts them.
#[derive(Default)]
struct Collector {
    keep: bool,
    found: Nodes,
    length: usize,
    n_roots: usize,
    /// The first node of the tree being read.
    base: usize,
}

impl Collector {
    fn push(&mut self, node: Node) -> Result<u32, NotTrees> {
        let at = u32::try_from(self.length).map_err(|_| ser::Error::custom("more than 2^32 nodes"))?;
        self.length += 1;
        if self.keep {
            self.found.nodes.push(node);
        }
        Ok(at)
    }

    fn root(&mut self, at: u32) {
        self.n_roots += 1;
        if self.keep {
            self.found.roots.push(at);
        }
    }
}

/// What a field holds, as far as nodes are concerned.
#[derive(Clone, Copy)]
enum Seen {
    Number(f64),
    Nothing,
    Subtree(u32),
    Other,
}

impl Seen {
    fn number(self) -> Option<f64> {
        match self {
            Seen::Number(value) => Some(value),
            _ => None,
        }
    }

    fn index(self) -> Option<usize> {
        self.number().map(|v| v as usize)
    }
}

/// A structure that is not what smartcore 0.7's trees are.
#[derive(Debug)]
pub(crate) struct NotTrees(String);

impl fmt::Display for NotTrees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "smartcore's trees cannot be read: {}", self.0)
    }
}

impl std::error::Error for NotTrees {}

impl ser::Error for NotTrees {
    fn custom<T: fmt::Display>(message: T) -> Self {
        NotTrees(message.to_string())
    }
}

/// The fields of one struct, as they come.
struct Fields<'a> {
    into: &'a mut Collector,
    what: What,
    output: Seen,
    feature: Seen,
    threshold: Seen,
    yes: Seen,
    no: Seen,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    /// A node of a list; children are places in the list.
    Listed,
    /// A node that owns its children; its place was taken when it began.
    Nested(u32),
    Other,
}

impl SerializeStruct for Fields<'_> {
    type Ok = Seen;
    type Error = NotTrees;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), NotTrees> {
        let seen = value.serialize(&mut *self.into)?;
        match key {
            "output" | "value" => self.output = seen,
            "split_feature" | "split_feature_idx" => self.feature = seen,
            "split_value" | "threshold" => self.threshold = seen,
            "true_child" | "left" => self.yes = seen,
            "false_child" | "right" => self.no = seen,
            _ => {}
        }
        Ok(())
    }

    fn end(self) -> Result<Seen, NotTrees> {
        let odd = |what: &str| -> NotTrees { ser::Error::custom(what) };
        if self.what == What::Other {
            return Ok(Seen::Other);
        }
        let base = self.into.base;
        let child = |seen: Seen| match (self.what, seen) {
            (What::Listed, Seen::Number(at)) => u32::try_from(base + at as usize).ok(),
            (What::Nested(_), Seen::Subtree(at)) => Some(at),
            _ => None,
        };
        let value = self.output.number().ok_or_else(|| odd("a node without a value"))?;
        let node = match (child(self.yes), child(self.no)) {
            (Some(yes), Some(no)) => Node {
                threshold: self.threshold.number().ok_or_else(|| odd("a split without a threshold"))?,
                feature: self
                    .feature
                    .index()
                    .and_then(|f| u32::try_from(f).ok())
                    .filter(|f| *f != Node::LEAF)
                    .ok_or_else(|| odd("a split without a column"))?,
                yes,
                no,
            },
            _ => Node::leaf(value),
        };
        match self.what {
            What::Nested(at) => {
                if self.into.keep {
                    self.into.found.nodes[at as usize] = node;
                }
                Ok(Seen::Subtree(at))
            }
            _ => self.into.push(node).map(|_| Seen::Other),
        }
    }
}

/// A sequence: of nodes, of trees, or of what does not matter.
struct Items<'a>(&'a mut Collector);

impl SerializeSeq for Items<'_> {
    type Ok = Seen;
    type Error = NotTrees;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotTrees> {
        if let Seen::Subtree(at) = value.serialize(&mut *self.0)? {
            self.0.root(at);
        }
        Ok(())
    }

    fn end(self) -> Result<Seen, NotTrees> {
        Ok(Seen::Other)
    }
}

macro_rules! numbers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<Seen, NotTrees> {
            Ok(Seen::Number(value as f64))
        })*
    };
}

impl<'a> Serializer for &'a mut Collector {
    type Ok = Seen;
    type Error = NotTrees;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Impossible<Seen, NotTrees>;
    type SerializeTupleStruct = Impossible<Seen, NotTrees>;
    type SerializeTupleVariant = Impossible<Seen, NotTrees>;
    type SerializeMap = Impossible<Seen, NotTrees>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Impossible<Seen, NotTrees>;

    numbers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_f32: f32, serialize_f64: f64
    );

    fn serialize_bool(self, _: bool) -> Result<Seen, NotTrees> {
        Ok(Seen::Other)
    }

    fn serialize_char(self, _: char) -> Result<Seen, NotTrees> {
        Ok(Seen::Other)
    }

    fn serialize_str(self, _: &str) -> Result<Seen, NotTrees> {
        Ok(Seen::Other)
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Seen, NotTrees> {
        Ok(Seen::Other)
    }

    fn serialize_none(self) -> Result<Seen, NotTrees> {
        Ok(Seen::Nothing)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Seen, NotTrees> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Seen, NotTrees> {
        Ok(Seen::Other)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Seen, NotTrees> {
        Ok(Seen::Other)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<Seen, NotTrees> {
        Ok(Seen::Other)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Seen, NotTrees> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<Seen, NotTrees> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>, NotTrees> {
        Ok(Items(self))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, NotTrees> {
        Err(ser::Error::custom("a tuple"))
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, NotTrees> {
        Err(ser::Error::custom(name))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, NotTrees> {
        Err(ser::Error::custom(name))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, NotTrees> {
        Err(ser::Error::custom("a map"))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Fields<'a>, NotTrees> {
        let what = match name {
            "Node" => What::Listed,
            "TreeRegressor" => What::Nested(self.push(Node::leaf(0.0))?),
            "BaseTree" | "DecisionTreeClassifier" => {
                self.base = self.length;
                let root = u32::try_from(self.length)
                    .map_err(|_| -> NotTrees { ser::Error::custom("more than 2^32 nodes") })?;
                self.root(root);
                What::Other
            }
            _ => What::Other,
        };
        let none = Seen::Nothing;
        Ok(Fields { into: self, what, output: none, feature: none, threshold: none, yes: none, no: none })
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, NotTrees> {
        Err(ser::Error::custom(name))
    }
}
