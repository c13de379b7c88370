//! `vatmux cat`

use vatmux::packagefs::Error;

use crate::arguments::{Arguments, Cat};
use crate::failure::Failure;
use crate::output::Output;
use crate::pulse::Pulse;
use crate::text;
use crate::visit::{self, Calls, Visit};

pub(crate) fn run(arguments: &Arguments, cat: &Cat) -> Result<(), Failure> {
    visit::pay(arguments, &cat.address, Calls::Transfers, None, copy)
}

async fn copy(visit: Visit) -> Result<(), Failure> {
    let files = visit.files()?;
    let mut output = Output::standard()?;
    let pulse = Pulse::new(&visit.handle, output.blocked());
    let doing = format!("reading {}", text::shown_path(&visit.address.path));
    let copied = async {
        match files.read_to(&visit.address.path, &mut output, &|_| pulse.beat()).await {
            Ok(_) => Ok(()),
            Err(Error::Output { source, .. }) => Err(Failure::output(source)),
            Err(error) => Err(error.into()),
        }
    };
    pulse.guard(&doing, copied).await
}
