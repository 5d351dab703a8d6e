//! The stream between a component and the core: in order and without loss as long as it holds, and cut
//! off anywhere when it does not.

use std::collections::VecDeque;

use rhyzome_proto::pb;
use rhyzome_proto::session::{FromComponent, FromCore};

use crate::chance::Chance;

/// One stream.
#[derive(Debug)]
pub struct Link {
    pub component: usize,
    up: Half<pb::FromComponent>,
    down: Half<pb::FromCore>,
}

/// One direction.
#[derive(Debug)]
struct Half<T> {
    /// Said and not yet heard.
    under_way: VecDeque<T>,
    /// Nothing more will be said.
    over: bool,
    /// Nobody hears any more.
    deaf: bool,
}

impl<T> Default for Half<T> {
    fn default() -> Self {
        Self {
            under_way: VecDeque::new(),
            over: false,
            deaf: false,
        }
    }
}

impl<T> Half<T> {
    fn say(&mut self, message: T) {
        if !self.over && !self.deaf {
            self.under_way.push_back(message);
        }
    }

    fn hear(&mut self) -> Heard<T> {
        match self.under_way.pop_front() {
            Some(message) => Heard::Message(message),
            None => Heard::End,
        }
    }

    fn can_hear(&self) -> bool {
        !self.deaf && (self.over || !self.under_way.is_empty())
    }

    /// What was said last does not arrive.
    fn lose(&mut self, chance: &mut Chance) {
        let arrive = chance.below(self.under_way.len() + 1);
        self.under_way.truncate(arrive);
        self.over = true;
    }

    fn stop_hearing(&mut self) {
        self.under_way.clear();
        self.deaf = true;
    }
}

/// What one end gets.
#[derive(Debug)]
pub enum Heard<T> {
    Message(T),
    /// There is and will be nothing more.
    End,
}

impl Link {
    pub fn new(component: usize) -> Self {
        Self {
            component,
            up: Half::default(),
            down: Half::default(),
        }
    }

    pub fn say_up(&mut self, message: FromComponent) {
        self.up.say(message.into());
    }

    pub fn say_down(&mut self, message: FromCore) {
        self.down.say(message.into());
    }

    /// Whether the core would hear a message, or the end.
    pub fn core_can_hear(&self) -> bool {
        self.up.can_hear()
    }

    pub fn component_can_hear(&self) -> bool {
        self.down.can_hear()
    }

    pub fn core_hears(&mut self) -> Heard<pb::FromComponent> {
        self.up.hear()
    }

    pub fn component_hears(&mut self) -> Heard<pb::FromCore> {
        self.down.hear()
    }

    /// The message that comes next comes twice, or the one from the core does.
    pub fn repeat(&mut self, from_core: bool) -> bool {
        if from_core {
            repeat(&mut self.down.under_way)
        } else {
            repeat(&mut self.up.under_way)
        }
    }

    /// It breaks: some of what is under way still arrives at either end.
    pub fn cut(&mut self, chance: &mut Chance) {
        self.up.lose(chance);
        self.down.lose(chance);
    }

    /// The core's end is closed in order.
    pub fn core_leaves(&mut self) {
        self.down.over = true;
        self.up.stop_hearing();
    }

    /// The component's end is closed in order.
    pub fn component_leaves(&mut self) {
        self.up.over = true;
        self.down.stop_hearing();
    }

    /// The core is dead.
    pub fn core_dies(&mut self, chance: &mut Chance) {
        self.down.lose(chance);
        self.up.stop_hearing();
    }

    /// The component is dead.
    pub fn component_dies(&mut self, chance: &mut Chance) {
        self.up.lose(chance);
        self.down.stop_hearing();
    }

    /// Nobody is at either end.
    pub fn is_over(&self) -> bool {
        self.up.deaf && self.down.deaf
    }

    pub fn is_quiet(&self) -> bool {
        self.up.under_way.is_empty() && self.down.under_way.is_empty()
    }
}

fn repeat<T: Clone>(under_way: &mut VecDeque<T>) -> bool {
    match under_way.front().cloned() {
        Some(first) => {
            under_way.push_front(first);
            true
        }
        None => false,
    }
}
