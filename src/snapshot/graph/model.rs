//! The nodes of a graph as bits: what is foretold of each from those before it.
//!
//! A node is told in the order of the walk: the number of its children instead of its parent, the
//! step from its parent's path instead of its path, a place in a page where objects like it were
//! before instead of its address. Each of these is likely or not by what the node is and what is
//! above and beside it; the [`Coder`] makes of that what it costs. Steps, paths and owners are
//! told where the first node needs them ([`super::names`]), and so have numbers in that order.
//!
//! Nothing read is believed: every node has a parent before it, every index is looked up.

use super::coder::{Coder, MOST_BITS, mix};
use super::names::{Names, Wanted};
use super::places::Places;
use super::sections::ColumnError;
use super::{NONE, Nodes, StoredGraph};
use rustc_hash::FxHashMap;

/// Every node takes as many bits.
const LEAST_BITS: u64 = 8;
const MISFIT: ColumnError = ColumnError::Misfit("graph.nodes");

/// What the bits are of.
enum Of {
    Children = 1,
    Stays,
    Elsewhere,
    Class,
    ClassBefore,
    ClassNumber,
    Size,
    SizeNumber,
    Length,
    Dominator,
    Holder,
    Surplus,
}

fn context(of: Of, a: u32, b: u32) -> u64 {
    mix(of as u64, u64::from(a) << 32 | u64::from(b))
}

/// An ancestor of the node, and what its last child was.
struct Above {
    node: u32,
    left: u64,
    path: u32,
    class: u32,
    last_step: u32,
    last_class: u32,
}

/// A node without its place in the tree.
#[derive(Default)]
struct Node {
    children: u64,
    class: u32,
    size: u64,
    address: u64,
    length: u64,
    /// How many nodes up what dominates it is, and what holds it.
    dominator: u64,
    holder: u64,
}

/// What was seen so far.
#[derive(Default)]
struct Model {
    above: Vec<Above>,
    places: Places,
    /// The last type at a step from a type.
    classes: FxHashMap<(u32, u32), u32>,
    /// The last size of what is alike.
    sizes: FxHashMap<u64, u64>,
}

/// Tells the nodes of a graph.
pub(super) fn write(
    coder: &mut impl Coder,
    graph: &StoredGraph,
    shift: u32,
) -> Result<(), ColumnError> {
    let nodes = &graph.nodes;
    let count = nodes.len();
    let mut children = vec![0u64; count];
    for &parent in nodes.parent.iter().skip(1) {
        *children.get_mut(parent as usize).ok_or(MISFIT)? += 1;
    }
    let mut model = Model::default();
    let mut names = Names::new(Some(graph));
    for (node, &children) in children.iter().enumerate() {
        let number = node as u32;
        model.leave(number)?;
        if node > 0 && model.above.last().map(|one| one.node) != nodes.parent.get(node).copied() {
            return Err(MISFIT);
        }
        let hops = |above: Option<&u32>| -> Result<u64, ColumnError> {
            let place = model.above.binary_search_by_key(above.ok_or(MISFIT)?, |one| one.node);
            Ok((model.above.len() - place.map_err(|_| MISFIT)?) as u64)
        };
        let at = |column: &[u64]| column.get(node).copied().ok_or(MISFIT);
        let (dominator, holder) = match node {
            0 => (1, 1),
            _ => (hops(nodes.dominator.get(node))?, hops(nodes.holder.get(node))?),
        };
        let told = Node {
            children,
            class: nodes.class.get(node).copied().ok_or(MISFIT)?,
            size: at(&nodes.size)?,
            address: at(&nodes.address)?,
            length: at(&nodes.length)?,
            dominator,
            holder,
        };
        if holder > dominator {
            return Err(MISFIT);
        }
        let path = nodes.path.get(node).copied().ok_or(MISFIT)?;
        model.node(coder, &mut names, number, &told, path, shift)?;
    }
    surplus(coder, &mut nodes.surplus.clone(), count as u64)
}

/// How many nodes these bytes can say at most.
pub(super) fn most_nodes(bits: &[u8]) -> u64 {
    (bits.len() as u64).saturating_mul(MOST_BITS / LEAST_BITS).min(u32::MAX.into())
}

/// Reads so many nodes into a graph that has its types.
pub(super) fn read(
    coder: &mut impl Coder,
    graph: &mut StoredGraph,
    count: u64,
    shift: u32,
) -> Result<(), ColumnError> {
    let mut model = Model::default();
    let mut names = Names::new(None);
    let mut nodes = Nodes::default();
    if count == 0 || shift > 12 {
        return Err(MISFIT);
    }
    for node in 0..count as u32 {
        model.leave(node)?;
        let parent = model.above.last().map_or(0, |one| one.node);
        let (told, path) = model.node(coder, &mut names, node, &Node::default(), 0, shift)?;
        if told.class != NONE && told.class as usize >= graph.types.len() {
            return Err(MISFIT);
        }
        // The node is the last of those above it now.
        let ancestor = |hops: u64| -> Result<u32, ColumnError> {
            if node == 0 {
                return Ok(0);
            }
            let hops = usize::try_from(hops).ok().filter(|&hops| hops > 0).ok_or(MISFIT)?;
            let place = model.above.len().checked_sub(hops + 1).ok_or(MISFIT)?;
            model.above.get(place).map(|above| above.node).ok_or(MISFIT)
        };
        nodes.dominator.push(ancestor(told.dominator)?);
        nodes.holder.push(ancestor(told.holder)?);
        nodes.parent.push(parent);
        nodes.path.push(path);
        nodes.class.push(told.class);
        nodes.size.push(told.size);
        nodes.address.push(told.address);
        nodes.length.push(told.length);
    }
    if model.above.iter().any(|above| above.left > 0) {
        return Err(MISFIT);
    }
    surplus(coder, &mut nodes.surplus, count)?;
    let fits = |index: u32, of: usize| index == NONE || (index as usize) < of;
    if names.paths.iter().any(|path| !fits(path.class, graph.types.len())) {
        return Err(MISFIT);
    }
    graph.nodes = nodes;
    graph.owners = names.owners();
    (graph.paths, graph.steps) = (names.paths, names.steps);
    Ok(())
}

/// The pairs of the last column.
fn surplus(
    coder: &mut impl Coder,
    pairs: &mut Vec<(u32, u64)>,
    most: u64,
) -> Result<(), ColumnError> {
    let count = coder.number(context(Of::Surplus, 0, 0), pairs.len() as u64)?;
    if count > most {
        return Err(MISFIT);
    }
    let mut last = 0u32;
    for index in 0..count {
        let (node, surplus) = pairs.get(index as usize).copied().unwrap_or((last, 0));
        let ahead = node.checked_sub(last).ok_or(MISFIT)?;
        let ahead = coder.number(context(Of::Surplus, 1, 0), ahead.into())?;
        let surplus = coder.number(context(Of::Surplus, 2, 0), surplus)?;
        let ahead = u32::try_from(ahead).map_err(|_| MISFIT)?;
        last = last.checked_add(ahead).ok_or(MISFIT)?;
        if index as usize >= pairs.len() {
            pairs.push((last, surplus));
        }
    }
    Ok(())
}

impl Model {
    /// Goes up to the node whose child comes next.
    fn leave(&mut self, node: u32) -> Result<(), ColumnError> {
        while self.above.last().is_some_and(|above| above.left == 0) {
            self.above.pop();
        }
        match self.above.last_mut() {
            Some(parent) => parent.left -= 1,
            None if node == 0 => {}
            None => return Err(MISFIT),
        }
        Ok(())
    }

    /// Codes a node, and goes down to it; `wanted` is its path in what is written.
    fn node(
        &mut self,
        coder: &mut impl Coder,
        names: &mut Names<'_>,
        number: u32,
        told: &Node,
        wanted: u32,
        shift: u32,
    ) -> Result<(Node, u32), ColumnError> {
        let root =
            Above { node: 0, left: 0, path: 0, class: NONE, last_step: NONE, last_class: NONE };
        let parent = self.above.last().unwrap_or(&root);
        let (above, last_class) = (parent.class, parent.last_class);
        let wanted = names.wanted(wanted)?;
        let (path, step) = path(coder, names, parent, wanted)?;
        let common = if names.is_common(step) { step } else { NONE };

        let guess = self.classes.get(&(above, step)).copied().unwrap_or(NONE);
        let class = match () {
            () if coder.bit(context(Of::Class, guess, common), guess == told.class)? => guess,
            () if coder
                .bit(context(Of::ClassBefore, last_class, 0), last_class == told.class)? =>
            {
                last_class
            }
            () => {
                let class = u64::from(told.class.wrapping_add(1));
                let class = coder.number(context(Of::ClassNumber, above, 0), class)?;
                u32::try_from(class).map_err(|_| MISFIT)?.wrapping_sub(1)
            }
        };
        self.classes.insert((above, step), class);
        names.describe(coder, path, class)?;

        let children = coder.number(context(Of::Children, class, common), told.children)?;
        let few = children.min(20) as u32;
        let length = told.length.wrapping_add(1);
        let length = coder
            .number(mix(context(Of::Length, class, few), common.into()), length)?
            .wrapping_sub(1);
        let alike = match length {
            u64::MAX => mix(context(Of::Size, class, step), above.into()),
            _ => mix(context(Of::Size, class, NONE), length),
        };
        let guess = self.sizes.get(&alike).copied().unwrap_or(0);
        let same = coder.bit(context(Of::Size, class, common), guess == told.size)?;
        let size = match same {
            true => guess,
            false => coder.number(context(Of::SizeNumber, class, common), told.size)?,
        };
        self.sizes.insert(alike, size);
        let address = self.places.address(coder, class, size, told.address, shift)?;

        let few = children.min(2) as u32 | above << 2;
        let far = told.dominator.saturating_sub(1);
        let far = coder.number(context(Of::Dominator, class, few), far)?;
        let dominator = far.checked_add(1).ok_or(MISFIT)?;
        let nearer = told.dominator.saturating_sub(told.holder);
        let nearer = coder.number(context(Of::Holder, 0, 0), nearer)?;
        let holder = dominator.checked_sub(nearer).filter(|&hops| hops > 0).ok_or(MISFIT)?;

        if let Some(parent) = self.above.last_mut() {
            (parent.last_step, parent.last_class) = (step, class);
        }
        self.above.push(Above { node: number, left: children, path, class, ..root });
        let node = Node { children, class, size, address, length, dominator, holder };
        Ok((node, path))
    }
}

/// The path of a node, and the step that leads to it.
fn path(
    coder: &mut impl Coder,
    names: &mut Names<'_>,
    parent: &Above,
    wanted: Wanted,
) -> Result<(u32, u32), ColumnError> {
    let above = parent.class;
    let stays = names.is_at(wanted, parent.path);
    if coder.bit(context(Of::Stays, above, parent.last_step), stays)? {
        return Ok((parent.path, NONE));
    }
    let mut base = parent.path;
    let elsewhere = !names.goes_on_from(wanted, base);
    if coder.bit(context(Of::Elsewhere, above, 0), elsewhere)? {
        base = names.code_base(coder, wanted)?;
    }
    let step = names.step(coder, (above, parent.last_step), base, wanted)?;
    Ok((names.path(base, step, wanted)?, step))
}
