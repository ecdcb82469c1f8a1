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
        collector.found.check()?;
        Ok(collector.found)
    }

    /// That every tree is one: all its nodes but the root are the child of a node before them.
    fn check(&self) -> Result<(), NotTrees> {
        if self.roots.is_empty() {
            return Err(odd("no tree in it"));
        }
        let ends = self.roots.iter().skip(1).copied().chain([self.nodes.len() as u32]);
        for (root, end) in self.roots.iter().copied().zip(ends) {
            let nodes = self.nodes.get(root as usize..end as usize).unwrap_or_default();
            let mut splits = 0;
            for (at, node) in (root..).zip(nodes).filter(|(_, node)| node.feature != Node::LEAF) {
                splits += 1;
                if node.yes == node.no || [node.yes, node.no].iter().any(|c| *c <= at || *c >= end) {
                    return Err(odd("children outside their tree"));
                }
            }
            if nodes.len() != 2 * splits + 1 {
                return Err(odd(format!("a tree of {} nodes and {splits} splits", nodes.len())));
            }
        }
        Ok(())
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

/// The fields of one struct, as they come; `None` for those that have not.
struct Fields<'a> {
    into: &'a mut Collector,
    what: What,
    output: Option<Seen>,
    feature: Option<Seen>,
    threshold: Option<Seen>,
    yes: Option<Seen>,
    no: Option<Seen>,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    /// A node of a list; children are places in the list.
    Listed,
    /// A node that owns its children; its place was taken when it began.
    Nested(u32),
    Other,
}

/// Fields of nodes that say nothing about where rows go.
const PASSED_OVER: [&str; 7] =
    ["n_node_samples", "split_score", "impurity", "_phantom_tx", "_phantom_ty", "_phantom_x", "_phantom_y"];

impl SerializeStruct for Fields<'_> {
    type Ok = Seen;
    type Error = NotTrees;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), NotTrees> {
        let seen = value.serialize(&mut *self.into)?;
        let field = match key {
            _ if self.what == What::Other => return Ok(()),
            "output" | "value" => &mut self.output,
            "split_feature" | "split_feature_idx" => &mut self.feature,
            "split_value" | "threshold" => &mut self.threshold,
            "true_child" | "left" => &mut self.yes,
            "false_child" | "right" => &mut self.no,
            _ if PASSED_OVER.contains(&key) => return Ok(()),
            _ => return Err(odd(format!("a node with a field '{key}'"))),
        };
        match field.replace(seen) {
            None => Ok(()),
            Some(_) => Err(odd(format!("a node with two fields like '{key}'"))),
        }
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), NotTrees> {
        if self.what == What::Other { Ok(()) } else { Err(odd(format!("a node without its field '{key}'"))) }
    }

    fn end(self) -> Result<Seen, NotTrees> {
        if self.what == What::Other {
            return Ok(Seen::Other);
        }
        let base = self.into.base;
        let number = |seen: Option<Seen>, what: &str| match seen {
            Some(Seen::Number(value)) => Ok(value),
            _ => Err(odd(format!("a node without {what}"))),
        };
        let child = |seen: Option<Seen>| match (self.what, seen) {
            (_, Some(Seen::Nothing)) => Ok(None),
            (What::Listed, Some(Seen::Number(at))) => {
                let at = whole(at).and_then(|at| u32::try_from(base + at as usize).ok());
                at.map(Some).ok_or_else(|| odd("a child that is no place of a list"))
            }
            (What::Nested(_), Some(Seen::Subtree(at))) => Ok(Some(at)),
            _ => Err(odd("a node whose children cannot be read")),
        };
        let value = number(self.output, "a value")?;
        let node = match (child(self.yes)?, child(self.no)?) {
            (Some(yes), Some(no)) => Node {
                threshold: number(self.threshold, "a threshold")?,
                feature: whole(number(self.feature, "a column")?)
                    .filter(|feature| *feature != Node::LEAF)
                    .ok_or_else(|| odd("a split by no column"))?,
                yes,
                no,
            },
            (None, None) => Node::leaf(value),
            _ => return Err(odd("a node with one child")),
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

fn odd(what: impl fmt::Display) -> NotTrees {
    ser::Error::custom(what)
}

/// A number as a place or column.
fn whole(value: f64) -> Option<u32> {
    (value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value)).then_some(value as u32)
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
        Ok(Fields { into: self, what, output: None, feature: None, threshold: None, yes: None, no: None })
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

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Clone, Serialize)]
    struct Node {
        output: f64,
        split_feature: usize,
        split_value: Option<f64>,
        true_child: Option<usize>,
        false_child: Option<usize>,
    }

    #[derive(Serialize)]
    struct BaseTree {
        nodes: Vec<Node>,
    }

    fn node(value: f64, children: Option<[usize; 2]>) -> Node {
        Node {
            output: value,
            split_feature: 1,
            split_value: children.map(|_| 0.5),
            true_child: children.map(|c| c[0]),
            false_child: children.map(|c| c[1]),
        }
    }

    #[test]
    fn trees_that_are_read_in_part_are_errors_and_never_leaves() {
        type Change<'c> = &'c dyn Fn(&mut Vec<Node>);
        let whole = [node(0.0, Some([1, 2])), node(1.0, None), node(2.0, Some([3, 4])), node(3.0, None)];
        let tree = |change: Change<'_>| {
            let mut nodes = Vec::from(whole.clone());
            nodes.push(node(4.0, None));
            change(&mut nodes);
            Nodes::of(&BaseTree { nodes })
        };
        let found = tree(&|_| ()).unwrap();
        assert_eq!((found.nodes.len(), found.roots), (5, vec![0]));
        let faults: [(&str, Change<'_>); 7] = [
            ("one child", &|n| n[0].true_child = None),
            ("no children, though more nodes follow", &|n| {
                (n[0].true_child, n[0].false_child) = (None, None)
            }),
            ("a child that is not there", &|n| n[2].false_child = Some(9)),
            ("a child before its parent", &|n| n[2].false_child = Some(0)),
            ("one child twice", &|n| n[0].false_child = Some(1)),
            ("no threshold", &|n| n[0].split_value = None),
            ("no nodes", &|n| n.clear()),
        ];
        for (what, change) in faults {
            assert!(tree(change).is_err(), "{what}");
        }
    }

    /// As smartcore's might become: a field has another name, or is new.
    mod renamed {
        #[derive(serde::Serialize)]
        pub(super) struct Node {
            pub(super) output: f64,
            pub(super) split_feature: usize,
            pub(super) split_value: Option<f64>,
            pub(super) yes: Option<usize>,
            pub(super) false_child: Option<usize>,
        }
    }

    #[test]
    fn fields_that_smartcore_may_rename_or_add_are_errors() {
        #[derive(Serialize)]
        struct BaseTree {
            nodes: Vec<renamed::Node>,
        }
        let leaf =
            renamed::Node { output: 0.0, split_feature: 0, split_value: None, yes: None, false_child: None };
        let error = Nodes::of(&BaseTree { nodes: vec![leaf] }).unwrap_err().to_string();
        assert!(error.contains("'yes'"), "{error}");
    }
}
