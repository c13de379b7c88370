//! What the guard of a vat costs, by the instruction.
//!
//! A vat cannot be had without its guard, and should not: so what is counted is how many of a call's instructions are
//! the guard's. That is more than the guard costs: it also finds out what a message is and translates its ids, which
//! somebody had to do without it, and the kernel's share of a call is not counted beside it.

use anyhow::{Result, ensure};
use vatmux_instructions::Counter;

use super::IN_FLIGHT;
use crate::arguments::Arguments;
use crate::contestants::rpc::{Both, Called, Calls, Stack};
use crate::figures::{self, Contestant, Figures, Purpose};
use crate::report::{Column, Table};
use crate::roles::Role;
use crate::side::{DONE_WITHIN, Side};
use crate::transfer::Connected;

/// Where a vat enters its guard.
const ENTRIES: &[&str] = &[
    "vatmux_rpc::guard::Guard::received",
    "vatmux_rpc::guard::Guard::asked",
    "vatmux_rpc::guard::Guard::answered",
    "vatmux_rpc::guard::Guard::not_answered",
    "vatmux_rpc::guard::Guard::resolved",
    "vatmux_rpc::guard::Guard::released",
    "vatmux_rpc::guard::Guard::embargoed",
    "vatmux_rpc::guard::envelope::sent::caps",
];

/// Calls of the shorter run at most; the longer one has five times as many.
const MAX_CALLS: u64 = 500;

const COLUMNS: &[Column] = &[
    Column { figure: "instructions", heading: "instructions/call", decimals: 0 },
    Column { figure: "guard_instructions", heading: "of the guard", decimals: 0 },
    Column { figure: "cost", heading: "with over without", decimals: 3 },
];

pub(super) fn run(arguments: &Arguments) -> Result<Table> {
    let calls = (arguments.calls / 80).clamp(1, MAX_CALLS);
    let contestant = match Counter::find() {
        Ok(counter) => Contestant::new("guard", move |purpose| match purpose {
            // Nothing gets warm.
            Purpose::WarmUp => Ok(Figures::default()),
            Purpose::Timed => {
                let all = per_call(&counter, &[], calls)?;
                let guard = per_call(&counter, ENTRIES, calls)?;
                ensure!(guard > 0.0, "the guard is not to be found in the program");
                Ok(Figures::default()
                    .with("instructions", all)
                    .with("guard_instructions", guard)
                    .with("cost", all / (all - guard)))
            }
        }),
        Err(reason) => Contestant::absent("guard", format!("{reason:#}")),
    };
    Ok(Table {
        title: format!(
            "instructions of vatmux per call, both sides, {IN_FLIGHT} in flight: the slope between {calls} and {} calls by \
             callgrind, and what of it is spent in the guard",
            5 * calls
        ),
        columns: COLUMNS,
        // Two runs count nearly the same.
        rows: figures::interleave(vec![contestant], 1, &arguments.only)?,
    })
}

fn per_call(counter: &Counter, functions: &[&str], calls: u64) -> Result<f64> {
    let count = |concurrent| -> Result<u64> {
        let calls = Calls { sequential: 1, concurrent, in_flight: IN_FLIGHT };
        let role = Role::RpcBoth(Both { stack: Stack::Vatmux, calls });
        let mut side = Side::start_counted_inside(counter, functions, &role)?;
        let _: Connected = side.hear(DONE_WITHIN)?;
        // How fast they were under callgrind is of no interest.
        for _ in 0..2 {
            side.go()?;
            let _: Called = side.hear(DONE_WITHIN)?;
        }
        drop(side);
        counter.instructions()
    };
    let (short, long) = (count(calls)?, count(5 * calls)?);
    Ok((long as f64 - short as f64) / (4 * calls) as f64)
}
