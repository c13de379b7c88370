//! How far a transfer is, for whoever watches a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vatmux::packagefs::Progress;

/// A bar on standard error, if that is a terminal. It is gone when this is dropped.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar for what is called `label`; none is shown where `quiet`.
    pub(crate) fn new(label: String, quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(0), target).with_message(label);
        // A template that does not parse is a defect that the test below finds.
        if let Ok(style) = style() {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Takes a step.
    pub(crate) fn advance(&self, progress: Progress) {
        match progress {
            Progress::Found { bytes, .. } => self.0.inc_length(bytes),
            Progress::Received { bytes } => self.0.inc(bytes),
            Progress::FileDone => {}
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style() -> Result<ProgressStyle, indicatif::style::TemplateError> {
    ProgressStyle::with_template(
        "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_template_parses() {
        assert!(super::style().is_ok());
    }
}
