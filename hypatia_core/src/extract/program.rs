//! A chosen program with the number of uses of each class, so that another term costs to try what it changes alone.

use egg::Id;

use super::{Costs, Priced, Selection};

/// Where a class stands in the walk that looks for a circle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Open(u32),
    Done(u32),
}

/// One term for each class, by its place among the class's terms in [`Costs`]; classes by position.
pub struct Program<'c> {
    costs: &'c Costs<'c>,
    roots: Vec<usize>,
    choice: Vec<Option<usize>>,
    /// By how many needed classes and roots each class is used; what has no use is not part of the program.
    uses: Vec<u32>,
    /// The needed classes, operands first.
    pub order: Vec<usize>,
    /// The place of each needed class in the order.
    rank: Vec<usize>,
    pub seconds: f64,
    marks: Vec<Mark>,
    walk: u32,
}

impl<'c> Program<'c> {
    /// `None` where the choice goes round in a circle or is not whole.
    pub fn new(costs: &'c Costs<'c>, roots: &[Id], selection: &Selection) -> Option<Self> {
        let count = costs.names.len();
        let chosen = |(class, own): (&Id, &Vec<Priced>)| {
            let number = selection.choice.get(class)?;
            own.iter().position(|p| p.number == *number)
        };
        let mut program = Self {
            costs,
            roots: roots.iter().map(|r| costs.positions[r]).collect(),
            choice: costs.names.iter().zip(&costs.priced).map(chosen).collect(),
            uses: vec![0; count],
            order: Vec::new(),
            rank: vec![0; count],
            seconds: 0.0,
            marks: vec![Mark::Done(0); count],
            walk: 0,
        };
        for root in program.roots.clone() {
            if program.closes_circle(None, &[root]) {
                return None;
            }
        }
        for root in program.roots.clone() {
            program.acquire(root);
        }
        program.settle();
        Some(program)
    }

    /// The term that a class has.
    fn term(&self, class: usize) -> Option<&'c Priced> {
        Some(&self.costs.priced[class][self.choice[class]?])
    }

    pub fn is_needed(&self, class: usize) -> bool {
        self.uses[class] > 0
    }

    /// Whether a class could be computed, were it needed.
    pub fn has_choice(&self, class: usize) -> bool {
        self.choice[class].is_some()
    }

    /// The place of the term that a class has.
    pub fn chosen(&self, class: usize) -> Option<usize> {
        self.choice[class]
    }

    /// Writes the terms into a selection.
    pub fn write(&self, selection: &mut Selection) {
        for (class, own) in self.costs.names.iter().enumerate() {
            if let Some(term) = self.term(class) {
                selection.choice.insert(*own, term.number);
            }
        }
    }

    /// The order, and what follows from it.
    fn settle(&mut self) {
        self.order.clear();
        let mut stack: Vec<(usize, usize)> = Vec::new();
        self.walk += 1;
        let done = Mark::Done(self.walk);
        for root in self.roots.clone() {
            stack.push((root, 0));
            while let Some((class, next)) = stack.pop() {
                if next == 0 && self.marks[class] == done {
                    continue;
                }
                let child = self.term(class).and_then(|t| t.children.get(next)).copied();
                if let Some(child) = child {
                    stack.push((class, next + 1));
                    if self.marks[child] != done {
                        stack.push((child, 0));
                    }
                } else if self.marks[class] != done {
                    self.marks[class] = done;
                    self.rank[class] = self.order.len();
                    self.order.push(class);
                }
            }
        }
        let seconds = self.order.iter().filter_map(|&c| self.term(c));
        self.seconds = seconds.map(|t| t.seconds).sum();
    }

    /// Whether a walk from these classes comes back to `class` or to itself, or to what cannot be computed. A needed
    /// class before `class` in the order is not walked through: it needs nothing that comes after it or is not needed.
    fn closes_circle(&mut self, class: Option<usize>, from: &[usize]) -> bool {
        self.walk += 1;
        let (open, done) = (Mark::Open(self.walk), Mark::Done(self.walk));
        let mut stack: Vec<(usize, usize)> = Vec::new();
        for &first in from {
            stack.push((first, 0));
            while let Some((at, next)) = stack.pop() {
                if next == 0 {
                    if Some(at) == class || self.marks[at] == open {
                        return true;
                    }
                    let before = |c| self.uses[c] == 0 || self.rank[at] < self.rank[c];
                    let apart = self.uses[at] > 0 && class.is_some_and(before);
                    if self.marks[at] == done || apart {
                        continue;
                    }
                    self.marks[at] = open;
                }
                let Some(term) = self.term(at) else {
                    return true;
                };
                match term.children.get(next) {
                    Some(&child) => {
                        stack.push((at, next + 1));
                        stack.push((child, 0));
                    }
                    None => self.marks[at] = done,
                }
            }
        }
        false
    }

    /// One more use; what that adds, in seconds and in classes looked at.
    fn acquire(&mut self, class: usize) -> (f64, usize) {
        let (mut added, mut looked, mut stack) = (0.0, 0, vec![class]);
        while let Some(class) = stack.pop() {
            looked += 1;
            self.uses[class] += 1;
            if self.uses[class] == 1
                && let Some(term) = self.term(class)
            {
                added += term.seconds;
                stack.extend(&term.children);
            }
        }
        (added, looked)
    }

    /// One use less; what that takes away, in seconds and in classes looked at.
    fn release(&mut self, class: usize) -> (f64, usize) {
        let (mut taken, mut looked, mut stack) = (0.0, 0, vec![class]);
        while let Some(class) = stack.pop() {
            looked += 1;
            self.uses[class] -= 1;
            if self.uses[class] == 0
                && let Some(term) = self.term(class)
            {
                taken += term.seconds;
                stack.extend(&term.children);
            }
        }
        (taken, looked)
    }

    /// Gives a needed class another term; by how much the program gets dearer, and how many classes were looked at.
    fn exchange(&mut self, class: usize, place: usize) -> (f64, usize) {
        let (new, old) = (&self.costs.priced[class][place], self.term(class));
        let (mut change, mut looked) = (new.seconds, 1);
        for &child in &new.children {
            let (added, classes) = self.acquire(child);
            change += added;
            looked += classes;
        }
        if let Some(old) = old {
            change -= old.seconds;
            for &child in &old.children {
                let (taken, classes) = self.release(child);
                change -= taken;
                looked += classes;
            }
        }
        self.choice[class] = Some(place);
        (change, looked)
    }

    /// Gives a class another term, whatever that costs; whether that could be done.
    pub fn set(&mut self, class: usize, place: usize) -> bool {
        if self.closes_circle(Some(class), &self.costs.priced[class][place].children) {
            return false;
        }
        if self.is_needed(class) {
            self.exchange(class, place);
            self.settle();
        } else {
            self.choice[class] = Some(place);
        }
        true
    }

    /// Gives a needed class another term if the program gets cheaper by that; takes the classes looked at off `left`.
    pub fn try_term(&mut self, class: usize, place: usize, left: &mut usize) -> bool {
        let Some(before) = self.choice[class] else {
            return false;
        };
        *left = left.saturating_sub(1);
        if self.closes_circle(Some(class), &self.costs.priced[class][place].children) {
            return false;
        }
        let (change, looked) = self.exchange(class, place);
        *left = left.saturating_sub(looked);
        let least = self.seconds * (1.0 - 1e-9);
        if self.seconds + change >= least {
            self.exchange(class, before);
            return false;
        }
        self.settle();
        // The sum in one order decides, so that rounding of differences cannot go round in a circle.
        if self.seconds >= least {
            self.exchange(class, before);
            self.settle();
            return false;
        }
        true
    }
}
