//! What happens in a plant, as lines of text.

use core::fmt;
use core::str::FromStr;

use crate::{Instant, LaneId};

/// Something that happened in a plant.
///
/// As text it is one line: the time in milliseconds, a name, and fields. [`Display`](fmt::Display) writes it and
/// [`FromStr`] reads it back.
///
/// ```
/// use vend_hal::sim::PlantEvent;
///
/// let line = "1480 item-pushed run=3 lane=0 item=2 angle=800000 fault=hang falls=31200";
/// let event: PlantEvent = line.parse().unwrap();
/// assert_eq!(event.to_string(), line);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlantEvent {
    /// When.
    pub at: Instant,
    /// What.
    pub what: Happening,
}

/// What happened. Runs and items are numbered from 1, strictly rising in the life of a plant; angles are millionths
/// of a turn since the coil was made, whole turns being home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A motor was switched on.
    RunStarted {
        /// The new run.
        run: u64,
        /// Its lane.
        lane: LaneId,
        /// Where the coil stood.
        angle: u64,
        /// What is wrong with this run.
        fault: Option<RunFault>,
        /// Where the coil will stop although the motor is on.
        stop_angle: Option<u64>,
    },
    /// The run's current flowed for the first time.
    CurrentFlowed {
        /// The run.
        run: u64,
        /// Its lane.
        lane: LaneId,
    },
    /// The coil left home.
    HomeOpened {
        /// The run.
        run: u64,
        /// Its lane.
        lane: LaneId,
        /// Where the coil stands.
        angle: u64,
    },
    /// The coil came home.
    HomeClosed {
        /// The run.
        run: u64,
        /// Its lane.
        lane: LaneId,
        /// Where the coil stands.
        angle: u64,
    },
    /// An item was not pushed where it should have been; it will be, a little further on.
    ItemLagged {
        /// The run.
        run: u64,
        /// Its lane.
        lane: LaneId,
        /// The new item.
        item: u64,
        /// Where the coil stands.
        angle: u64,
        /// Where it will be pushed.
        push_angle: u64,
    },
    /// An item was pushed off its coil. It belongs to this run whenever it falls.
    ItemPushed {
        /// The run.
        run: u64,
        /// Its lane.
        lane: LaneId,
        /// The item; a new one unless it lagged.
        item: u64,
        /// Where the coil stands.
        angle: u64,
        /// What is wrong with the item.
        fault: Option<ItemFault>,
        /// When it will pass the beam; `None` if it hangs for good.
        falls_at: Option<Instant>,
    },
    /// An item fell through the shaft, past the beam.
    ItemFell {
        /// The run that pushed it.
        run: u64,
        /// Its lane.
        lane: LaneId,
        /// The item.
        item: u64,
        /// It fell beside the beam and darkened nothing.
        missed: bool,
    },
    /// The receiver was read while the item darkened it.
    ItemSeen {
        /// The run that pushed it.
        run: u64,
        /// Its lane.
        lane: LaneId,
        /// The item.
        item: u64,
    },
    /// A motor went off.
    RunEnded {
        /// The run.
        run: u64,
        /// Its lane.
        lane: LaneId,
        /// Where the coil stands.
        angle: u64,
        /// Why.
        cause: EndCause,
    },
    /// Somebody filled a lane up.
    Refilled {
        /// The lane.
        lane: LaneId,
        /// Items added.
        items: u32,
    },
    /// Somebody took a hanging item out.
    ItemRemoved {
        /// The run that pushed it.
        run: u64,
        /// Its lane.
        lane: LaneId,
        /// The item.
        item: u64,
    },
    /// The power went.
    PowerCut,
    /// The power came back.
    PowerRestored,
}

/// What can be wrong with one run of a motor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunFault {
    /// The coil is jammed on the way: the motor stalls and draws its stall current.
    Stall,
    /// The coupling slips on the way: the motor turns and the coil does not come home.
    NoReturn,
    /// The coupling slips from the start: the coil does not leave home.
    NoLeave,
    /// A wire is broken: no current, no motion.
    OpenLoad,
    /// A winding is shorted: a very high current, no motion.
    Short,
}

/// What can be wrong with one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemFault {
    /// It is pushed and hangs. Half of these fall later, long after their vend.
    Hang,
    /// It falls beside the beam.
    Miss,
    /// The coil has to turn up to half a turn further to push it.
    Lag,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndCause {
    /// The motor was switched off.
    Switched,
    /// The power was cut.
    Power,
    /// The process ended while the motor ran; noted when the plant was restored.
    Lost,
}

/// A line is not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a plant event")]
pub struct ParseEventError;

macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $type {
            /// Its name in the log.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $type {
            type Err = ParseEventError;

            fn from_str(text: &str) -> Result<Self, ParseEventError> {
                match text {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(ParseEventError),
                }
            }
        }
    };
}

names!(RunFault {
    Stall = "stall",
    NoReturn = "no-return",
    NoLeave = "no-leave",
    OpenLoad = "open-load",
    Short = "short",
});
names!(ItemFault { Hang = "hang", Miss = "miss", Lag = "lag" });
names!(EndCause { Switched = "switched", Power = "power", Lost = "lost" });

/// Writes `None` as a dash.
struct Maybe<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

impl fmt::Display for PlantEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.at.as_millis())?;
        let head = |f: &mut fmt::Formatter<'_>, name, run: u64, lane: LaneId| {
            write!(f, "{name} run={run} lane={}", lane.index())
        };
        match self.what {
            Happening::RunStarted { run, lane, angle, fault, stop_angle } => {
                head(f, "run-started", run, lane)?;
                write!(f, " angle={angle} fault={} stop={}", Maybe(fault), Maybe(stop_angle))
            }
            Happening::CurrentFlowed { run, lane } => head(f, "current-flowed", run, lane),
            Happening::HomeOpened { run, lane, angle } => {
                head(f, "home-opened", run, lane)?;
                write!(f, " angle={angle}")
            }
            Happening::HomeClosed { run, lane, angle } => {
                head(f, "home-closed", run, lane)?;
                write!(f, " angle={angle}")
            }
            Happening::ItemLagged { run, lane, item, angle, push_angle } => {
                head(f, "item-lagged", run, lane)?;
                write!(f, " item={item} angle={angle} push={push_angle}")
            }
            Happening::ItemPushed { run, lane, item, angle, fault, falls_at } => {
                head(f, "item-pushed", run, lane)?;
                let falls = Maybe(falls_at.map(Instant::as_millis));
                write!(f, " item={item} angle={angle} fault={} falls={falls}", Maybe(fault))
            }
            Happening::ItemFell { run, lane, item, missed } => {
                head(f, "item-fell", run, lane)?;
                write!(f, " item={item} missed={missed}")
            }
            Happening::ItemSeen { run, lane, item } => {
                head(f, "item-seen", run, lane)?;
                write!(f, " item={item}")
            }
            Happening::RunEnded { run, lane, angle, cause } => {
                head(f, "run-ended", run, lane)?;
                write!(f, " angle={angle} cause={cause}")
            }
            Happening::Refilled { lane, items } => write!(f, "refilled lane={} items={items}", lane.index()),
            Happening::ItemRemoved { run, lane, item } => {
                head(f, "item-removed", run, lane)?;
                write!(f, " item={item}")
            }
            Happening::PowerCut => f.write_str("power-cut"),
            Happening::PowerRestored => f.write_str("power-restored"),
        }
    }
}

/// The fields of a line, read in the order they are written.
struct Fields<'a>(core::str::SplitAsciiWhitespace<'a>);

impl<'a> Fields<'a> {
    fn text(&mut self, key: &str) -> Result<&'a str, ParseEventError> {
        let (name, value) = self.0.next().and_then(|field| field.split_once('=')).ok_or(ParseEventError)?;
        if name == key { Ok(value) } else { Err(ParseEventError) }
    }

    fn read<T: FromStr>(&mut self, key: &str) -> Result<T, ParseEventError> {
        self.text(key)?.parse().map_err(|_| ParseEventError)
    }

    fn maybe<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, ParseEventError> {
        match self.text(key)? {
            "-" => Ok(None),
            text => text.parse().map(Some).map_err(|_| ParseEventError),
        }
    }

    fn lane(&mut self) -> Result<LaneId, ParseEventError> {
        self.read("lane").map(LaneId::new)
    }

    fn run(&mut self) -> Result<u64, ParseEventError> {
        self.number("run")
    }

    fn number(&mut self, key: &str) -> Result<u64, ParseEventError> {
        self.read(key).and_then(small)
    }
}

/// No plant counts or turns that far; refusing it here keeps the plant's arithmetic from overflowing.
const fn small(number: u64) -> Result<u64, ParseEventError> {
    if number < 1 << 60 { Ok(number) } else { Err(ParseEventError) }
}

impl FromStr for PlantEvent {
    type Err = ParseEventError;

    // The fields of a struct expression are evaluated as they are written: in the order of the line.
    fn from_str(line: &str) -> Result<Self, ParseEventError> {
        let mut f = Fields(line.split_ascii_whitespace());
        let at =
            f.0.next().and_then(|at| at.parse().ok()).map(Instant::from_millis).ok_or(ParseEventError)?;
        let what = match f.0.next().ok_or(ParseEventError)? {
            "run-started" => Happening::RunStarted {
                run: f.run()?,
                lane: f.lane()?,
                angle: f.number("angle")?,
                fault: f.maybe("fault")?,
                stop_angle: f.maybe("stop")?.map(small).transpose()?,
            },
            "current-flowed" => Happening::CurrentFlowed { run: f.run()?, lane: f.lane()? },
            "home-opened" => {
                Happening::HomeOpened { run: f.run()?, lane: f.lane()?, angle: f.number("angle")? }
            }
            "home-closed" => {
                Happening::HomeClosed { run: f.run()?, lane: f.lane()?, angle: f.number("angle")? }
            }
            "item-lagged" => Happening::ItemLagged {
                run: f.run()?,
                lane: f.lane()?,
                item: f.number("item")?,
                angle: f.number("angle")?,
                push_angle: f.number("push")?,
            },
            "item-pushed" => Happening::ItemPushed {
                run: f.run()?,
                lane: f.lane()?,
                item: f.number("item")?,
                angle: f.number("angle")?,
                fault: f.maybe("fault")?,
                falls_at: f.maybe("falls")?.map(Instant::from_millis),
            },
            "item-fell" => Happening::ItemFell {
                run: f.run()?,
                lane: f.lane()?,
                item: f.number("item")?,
                missed: f.read("missed")?,
            },
            "item-seen" => Happening::ItemSeen { run: f.run()?, lane: f.lane()?, item: f.number("item")? },
            "run-ended" => Happening::RunEnded {
                run: f.run()?,
                lane: f.lane()?,
                angle: f.number("angle")?,
                cause: f.read("cause")?,
            },
            "refilled" => Happening::Refilled { lane: f.lane()?, items: f.read("items")? },
            "item-removed" => {
                Happening::ItemRemoved { run: f.run()?, lane: f.lane()?, item: f.number("item")? }
            }
            "power-cut" => Happening::PowerCut,
            "power-restored" => Happening::PowerRestored,
            _ => return Err(ParseEventError),
        };
        if f.0.next().is_some() { Err(ParseEventError) } else { Ok(Self { at, what }) }
    }
}
