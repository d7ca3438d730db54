//! [`Standings`] keep in memory how everybody on record stands, by their number.
//!
//! A record is read from a page of its own, and decoded; the answer of most is an axis and a time. So
//! a [`Standing`] is kept as its *form*, which is what it is without its times and which many have in
//! common, and its times. Form and time of one with a single time, or none, take eight octets.

use std::collections::HashMap;
use std::sync::Arc;

use crate::suppression::Standing;
use crate::timestamp::Timestamp;

/// Recipients of one page.
const PAGE: usize = 4096;

/// Bits of the place of a form: so many there are at most. Each is a combination of axes, scopes,
/// streams and status codes; the records of any more are read from the file.
const FORM_BITS: u32 = Form::BITS;

/// Scopes, streams and times of one standing; one that has more is read from the file.
const PART_LIMIT: usize = 16;

/// Bits of a time: up to the year 4199.
const TIME_BITS: u32 = 46;

/// How recipients stand, as far as it is kept.
#[derive(Debug, Default)]
pub(super) struct Standings {
    /// By number.
    pages: Vec<Page>,
    forms: Forms,
}

/// So many recipients with numbers side by side. Whatever there is of one grows by itself, so that
/// nothing takes long.
#[derive(Debug)]
struct Page {
    slots: Box<[Slot]>,
    /// Form and times of those with several times, by slot.
    several: HashMap<usize, (Form, Box<[Timestamp]>)>,
}

/// The forms there are.
#[derive(Debug, Default)]
struct Forms {
    all: Vec<Arc<Standing>>,
    places: HashMap<Arc<Standing>, Form>,
}

/// The place of a form among them.
type Form = u16;

/// What is kept of one recipient, packed into a word: two bits that say which it is, the form, the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// Nothing: the file knows.
    Nothing,
    /// It is among those with several times.
    Several,
    /// All, with its only time, if it has one.
    All(Form, Timestamp),
}

/// A packed [`Kept`].
type Slot = u64;

impl Kept {
    fn pack(self) -> Slot {
        match self {
            Self::Nothing => 0,
            Self::Several => 1 << (FORM_BITS + TIME_BITS),
            Self::All(form, time) => {
                2 << (FORM_BITS + TIME_BITS) | u64::from(form) << TIME_BITS | time.millis()
            }
        }
    }

    fn unpack(slot: Slot) -> Self {
        match slot >> (FORM_BITS + TIME_BITS) {
            0 => Self::Nothing,
            1 => Self::Several,
            _ => {
                let time = slot & ((1 << TIME_BITS) - 1);
                // The cut takes off the bits above the form.
                let form = (slot >> TIME_BITS) as Form;
                Self::All(form, Timestamp::from_millis(time))
            }
        }
    }
}

impl Standings {
    /// How somebody stands; none if the file has to be asked.
    pub(super) fn get(&self, number: u64) -> Option<Standing> {
        let (page, slot) = place(number)?;
        let page = self.pages.get(page)?;
        match page.kept(slot) {
            Kept::Nothing => None,
            Kept::Several => {
                let (form, times) = page.several.get(&slot)?;
                self.forms.restore(*form, times)
            }
            Kept::All(form, time) => self.forms.restore(form, &[time]),
        }
    }

    /// Keeps how somebody stands; with none, or if it cannot be kept, the file will be asked.
    pub(super) fn set(&mut self, number: u64, standing: Option<Standing>) {
        let Some((page, slot)) = place(number) else {
            return;
        };
        if page == self.pages.len() {
            self.pages.push(Page::default());
        }
        // Numbers count up, so what lies beyond comes again when memory is filled up to there.
        if let Some(page) = self.pages.get_mut(page) {
            page.set(slot, standing, &mut self.forms);
        }
    }
}

impl Page {
    fn kept(&self, slot: usize) -> Kept {
        Kept::unpack(self.slots[slot])
    }

    fn set(&mut self, slot: usize, standing: Option<Standing>, forms: &mut Forms) {
        self.several.remove(&slot);
        let split = standing.and_then(|standing| forms.split(standing));
        let kept = match split {
            None => Kept::Nothing,
            Some((form, times)) => match times[..] {
                [] => Kept::All(form, Timestamp::default()),
                [time] if time.millis() >> TIME_BITS == 0 => Kept::All(form, time),
                _ => {
                    self.several.insert(slot, (form, times.into()));
                    Kept::Several
                }
            },
        };
        self.slots[slot] = kept.pack();
    }
}

impl Default for Page {
    fn default() -> Self {
        Self {
            slots: vec![Kept::Nothing.pack(); PAGE].into(),
            several: HashMap::new(),
        }
    }
}

impl Forms {
    /// The form of a standing, and its times; none if it has too many parts, or there is no room for
    /// its form.
    fn split(&mut self, mut standing: Standing) -> Option<(Form, Vec<Timestamp>)> {
        let streams = standing.complaint.as_ref().map_or(0, |it| it.streams.len());
        let names = standing.opt_outs.len() + standing.opt_ins.len() + streams;
        let times: Vec<_> = standing.times_mut().map(std::mem::take).collect();
        if names > PART_LIMIT || times.len() > PART_LIMIT {
            return None;
        }
        Some((self.place(standing)?, times))
    }

    /// The place of a form, which gets one if there is room.
    fn place(&mut self, form: Standing) -> Option<Form> {
        if let Some(known) = self.places.get(&form) {
            return Some(*known);
        }
        let place = Form::try_from(self.all.len()).ok()?;
        let form = Arc::new(form);
        self.all.push(Arc::clone(&form));
        self.places.insert(form, place);
        Some(place)
    }

    /// A form with its times.
    fn restore(&self, form: Form, times: &[Timestamp]) -> Option<Standing> {
        let mut standing = Standing::clone(self.all.get(usize::from(form))?);
        for (place, time) in standing.times_mut().zip(times) {
            *place = *time;
        }
        Some(standing)
    }
}

/// The page of a number, and the place in it.
fn place(number: u64) -> Option<(usize, usize)> {
    let number = usize::try_from(number).ok()?;
    Some((number / PAGE, number % PAGE))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::suppression::Scope;
    use crate::suppression::standing::{Blocked, Complained, HardBounces, SoftBounces};

    fn time() -> impl Strategy<Value = Timestamp> {
        // Some that do not fit, too.
        prop_oneof![0_u64..1 << 41, 0_u64..1 << 48].prop_map(Timestamp::from_millis)
    }

    fn scope() -> impl Strategy<Value = Scope> {
        prop_oneof![
            Just(Scope::All),
            (0..30).prop_map(|number| Scope::list(&format!("list{number}")).unwrap()),
            (0..3).prop_map(|number| Scope::stream(&format!("stream{number}")).unwrap()),
        ]
    }

    prop_compose! {
        fn standing()(
            erased in prop::option::weighted(0.1, time()),
            hard in prop::option::weighted(0.3, time()),
            complaint in prop::option::weighted(0.2, (time(), 0..20_usize)),
            block in prop::option::weighted(0.2, (time(), prop::option::of(time()))),
            opt_outs in prop::collection::btree_map(scope(), time(), 0..3),
            opt_ins in prop::collection::btree_set(scope(), 0..20),
            soft in prop::option::weighted(0.2, (time(), prop::collection::vec(time(), 0..20))),
        ) -> Standing {
            Standing {
                erased,
                hard: hard.map(|last| HardBounces { last, status: "5.1.1".parse().ok() }),
                complaint: complaint.map(|(at, streams)| Complained {
                    at,
                    streams: vec![None; streams],
                }),
                do_not_email: block.map(|(at, until)| Blocked { at, until }),
                opt_outs: opt_outs.into_iter().collect(),
                opt_ins: opt_ins.into_iter().collect(),
                soft: soft.map(|(last, recent)| SoftBounces { count: 3, last, recent }),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_was_set_last(
            sets in prop::collection::vec((0..6_u64, prop::option::of(standing())), 1..40)
        ) {
            let mut standings = Standings::default();
            let mut last = HashMap::new();
            for (number, standing) in sets {
                // They lie in two pages.
                let number = number * 1000;
                standings.set(number, standing.clone());
                last.insert(number, standing);
                for (number, standing) in &last {
                    // It may not be kept at all, but never another one.
                    let kept = standings.get(*number);
                    prop_assert!(kept.is_none() || kept == *standing);
                }
            }
            for page in &standings.pages {
                let several = (0..PAGE).filter(|slot| page.kept(*slot) == Kept::Several);
                prop_assert_eq!(page.several.len(), several.count());
            }
        }
    }

    fn opted_out(scope: &Scope, millis: u64) -> Standing {
        Standing {
            opt_outs: vec![(scope.clone(), Timestamp::from_millis(millis))],
            ..Standing::default()
        }
    }

    #[test]
    fn most_are_kept() {
        let mut standings = Standings::default();
        let bounced = |number| Standing {
            hard: Some(HardBounces {
                last: Timestamp::from_millis(number),
                status: "5.1.1".parse().ok(),
            }),
            ..opted_out(&Scope::All, 2 * number)
        };
        for number in 0..20_000 {
            standings.set(number, Some(opted_out(&Scope::All, number)));
        }
        for number in 0..20_000 {
            standings.set(20_000 + number, Some(bounced(number)));
        }
        for number in 0..20_000 {
            let kept = [standings.get(number), standings.get(20_000 + number)];
            let expected = [opted_out(&Scope::All, number), bounced(number)];
            assert_eq!(kept, expected.map(Some));
        }
        assert_eq!(standings.forms.all.len(), 2);
    }

    #[test]
    fn more_forms_than_there_is_room_for_are_not_kept() {
        let mut standings = Standings::default();
        let scope = |number: u64| Scope::list(&format!("list{number}")).unwrap();
        let end = 1 << FORM_BITS;
        for number in 0..=end {
            standings.set(number, Some(opted_out(&scope(number), 7)));
        }
        assert_eq!(standings.get(end), None);
        let last = end - 1;
        assert_eq!(standings.get(last), Some(opted_out(&scope(last), 7)));
        assert_eq!(standings.get(0), Some(opted_out(&scope(0), 7)));
    }

    #[test]
    fn numbers_that_jump_take_no_memory() {
        let mut standings = Standings::default();
        for number in [u64::MAX, 1 << 40, PAGE as u64] {
            standings.set(number, Some(opted_out(&Scope::All, 7)));
            assert_eq!(standings.get(number), None);
        }
        assert!(standings.pages.is_empty());
    }
}
