//! Where an incoming message refers to calls of the peer's by their ids, and how those are replaced.
//!
//! This is done only while some call of the peer's is known to capnp-rpc under another id than the peer's, and
//! then in place: the message stays where it was read to.

use capnp::message::Reader;
use capnp::raw::get_struct_data_section;
use capnp_rpc::rpc_capnp::{
    cap_descriptor, message, message_target, payload, promised_answer, resolve, return_,
};

use crate::segments::{Place, Segments};

/// A field that gets another value.
#[derive(Debug)]
pub(crate) struct Patch {
    /// None where the message is too short to have the field, and so says zero.
    place: Option<Place>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Id(u32),
    /// Which member of a union it is.
    Kind(u16),
}

impl Patch {
    /// Makes a union another member of its, where the union itself is at `place`.
    pub(crate) fn new_kind(place: Option<Place>, kind: u16) -> Self {
        Self { place, value: Value::Kind(kind) }
    }

    /// False where there is no such field.
    #[must_use]
    pub(crate) fn apply(self, segments: &mut Segments) -> bool {
        self.place.is_some_and(|place| match self.value {
            Value::Id(id) => segments.overwrite(place, id.to_le_bytes()),
            Value::Kind(kind) => segments.overwrite(place, kind.to_le_bytes()),
        })
    }
}

/// Replaces the id that a Call has, or the one that a Return answers to: the first field of either.
pub(crate) fn own_id(message: &Reader<Segments>, id: u32) -> Patch {
    let section = message.get_root::<message::Reader<'_>>().ok().and_then(|root| match root.which() {
        Ok(message::Call(call)) => call.ok().map(get_struct_data_section),
        Ok(message::Return(answer)) => answer.ok().map(get_struct_data_section),
        _ => None,
    });
    let place = section.and_then(|section| message.get_segments().locate::<4>(section, 0));
    Patch { place, value: Value::Id(id) }
}

/// Every reference to a call of the peer's, replaced by what `answer_id` gives for it: the target of a Call or a
/// Disembargo, every `receiverAnswer`, and `Return.takeFromOtherQuestion`.
pub(crate) fn find(message: &Reader<Segments>, answer_id: impl Fn(u32) -> u32) -> capnp::Result<Vec<Patch>> {
    let mut found = References { segments: message.get_segments(), answer_id, patches: Vec::new() };
    match message.get_root::<message::Reader<'_>>()?.which() {
        Ok(message::Call(call)) => {
            let call = call?;
            found.in_target(call.get_target()?)?;
            found.in_payload(call.get_params()?)?;
        }
        Ok(message::Return(answer)) => {
            let answer = answer?;
            match answer.which()? {
                return_::Results(results) => found.in_payload(results?)?,
                // The third 32-bit field.
                return_::TakeFromOtherQuestion(id) => found.add(get_struct_data_section(answer), 8, id),
                return_::Exception(_)
                | return_::Canceled(())
                | return_::ResultsSentElsewhere(())
                | return_::AcceptFromThirdParty(_) => {}
            }
        }
        Ok(message::Resolve(resolve)) => match resolve?.which()? {
            resolve::Cap(cap) => found.in_cap(cap?)?,
            resolve::Exception(_) => {}
        },
        Ok(message::Disembargo(disembargo)) => found.in_target(disembargo?.get_target()?)?,
        Ok(
            message::Bootstrap(_)
            | message::Finish(_)
            | message::Unimplemented(_)
            | message::Abort(_)
            | message::Release(_)
            | message::Provide(_)
            | message::Accept(_)
            | message::Join(_)
            | message::ObsoleteSave(_)
            | message::ObsoleteDelete(_),
        )
        | Err(capnp::NotInSchema(_)) => {}
    }
    Ok(found.patches)
}

struct References<'a, F> {
    segments: &'a Segments,
    answer_id: F,
    patches: Vec<Patch>,
}

impl<F: Fn(u32) -> u32> References<'_, F> {
    fn in_target(&mut self, target: message_target::Reader<'_>) -> capnp::Result<()> {
        match target.which()? {
            message_target::ImportedCap(_) => {}
            message_target::PromisedAnswer(answer) => self.in_answer(answer?),
        }
        Ok(())
    }

    fn in_payload(&mut self, payload: payload::Reader<'_>) -> capnp::Result<()> {
        for cap in payload.get_cap_table()? {
            self.in_cap(cap)?;
        }
        Ok(())
    }

    fn in_cap(&mut self, cap: cap_descriptor::Reader<'_>) -> capnp::Result<()> {
        match cap.which()? {
            cap_descriptor::ReceiverAnswer(answer) => self.in_answer(answer?),
            cap_descriptor::None(())
            | cap_descriptor::SenderHosted(_)
            | cap_descriptor::SenderPromise(_)
            | cap_descriptor::ReceiverHosted(_)
            | cap_descriptor::ThirdPartyHosted(_) => {}
        }
        Ok(())
    }

    fn in_answer(&mut self, answer: promised_answer::Reader<'_>) {
        self.add(get_struct_data_section(answer), 0, answer.get_question_id());
    }

    fn add(&mut self, section: &[u8], offset: usize, id: u32) {
        let translated = (self.answer_id)(id);
        if translated != id {
            let place = self.segments.locate::<4>(section, offset);
            self.patches.push(Patch { place, value: Value::Id(translated) });
        }
    }
}
