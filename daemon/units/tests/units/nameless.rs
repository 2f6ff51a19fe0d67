//! Units whose names were made up are forgotten by themselves, the oldest first, when there are very many; others never.

use std::{sync::Arc, time::Duration};

use units::{
    Account, Action, Answer, Command, Core, Event, Now, Order, RunId, StartFailure, Ticket,
    UnitState, kept::Keep,
};

use crate::{
    making::{LIMITS, person},
    town::service,
};

/// A core to which things happen, one each microsecond.
struct Crowd {
    core: Core,
    step: u64,
    forgotten: usize,
}

impl Crowd {
    fn tell(&mut self, event: Event) -> Vec<Action> {
        self.step += 1;
        let monotonic = Duration::from_micros(self.step);
        let wall = i64::try_from(self.step).unwrap();
        let mut actions = Vec::new();
        self.core.step(Now { monotonic, wall }, event, &mut actions);
        for action in &actions {
            if let Action::Keep { keeps, .. } = action {
                let is_forgotten = |keep: &&Keep| matches!(keep, Keep::Forgotten(_));
                self.forgotten += keeps.iter().filter(is_forgotten).count();
            }
        }
        actions
    }

    fn order(&mut self, order: Order) -> Vec<Action> {
        let command = Command { origin: person("she"), deadline: None, order };
        self.tell(Event::Command(Ticket(self.step), command))
    }

    /// Starts one that fails.
    fn starts(&mut self, name: &str) {
        let spec = service(|it| it.name = name.parse().unwrap());
        let actions = self.order(Order::Start { spec: Arc::clone(&spec), run: None });
        let run = |action: &Action| {
            if let Action::SpawnUnit { run, .. } = action { Some(*run) } else { None }
        };
        let run = actions.iter().find_map(run).expect("it is started");
        let failure = StartFailure { stage: 203, errno: 2, message: "no".to_owned() };
        self.tell(Event::SpawnFailed { run, failure });
        self.tell(Event::Settled { run, account: Account::default() });
    }

    fn known(&mut self) -> Vec<String> {
        let actions = self.order(Order::List);
        let Some(Action::Reply(_, Answer::Units(units))) = actions.into_iter().next_back() else {
            panic!("no list")
        };
        assert!(units.iter().all(|unit| unit.state == UnitState::Failed));
        units.into_iter().map(|unit| unit.name.to_string()).collect()
    }
}

#[test]
fn the_oldest_of_very_many_are_forgotten() {
    let mut crowd = Crowd { core: Core::new(LIMITS), step: 0, forgotten: 0 };
    let name = |number: u16| {
        let mut bytes = [7; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        RunId::from_bytes(bytes).to_string()
    };
    crowd.starts("chosen");
    (0..1000).for_each(|number| crowd.starts(&name(number)));
    assert_eq!((crowd.known().len(), crowd.forgotten), (1001, 0));
    crowd.starts(&name(1000));
    let known = crowd.known();
    assert_eq!((known.len(), crowd.forgotten), (752, 250));
    assert!(known.contains(&"chosen".to_owned()) && known.contains(&name(250)));
    assert!(!known.contains(&name(249)));
    (1001..3000).for_each(|number| crowd.starts(&name(number)));
    assert!(crowd.known().len() <= 1001);
}
