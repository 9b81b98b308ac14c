//! Only the messages of a plan, with which benches/ measures the kernel.

use netlink_packet_core::NLM_F_ACK;

use crate::kernel::names::Names;
use crate::kernel::session::DATAGRAM;
use crate::kernel::trouble::Trouble;
use crate::kernel::write;
use crate::plan::{Action, Plan};

/// The rtnetlink steps as datagrams of at most 32 KiB, requesting an ack for the last message of each. `names` are the
/// existing links; those that the plan creates get the indexes from `next` on, as the kernel assigns them if nobody
/// else creates any.
pub fn datagrams(plan: &Plan, mut names: Names, next: u32) -> Result<Vec<Vec<u8>>, Trouble> {
    let mut requests = Vec::new();
    let mut indexes = next..;
    for step in &plan.steps {
        requests.extend(write::request(&step.action, &names)?);
        if let Action::AddLink(new) = &step.action {
            names.insert(indexes.next().unwrap_or_default(), &new.name);
        }
    }
    let mut datagrams = Vec::new();
    let mut datagram = Vec::new();
    let mut requests = (1..).zip(requests).peekable();
    while let Some((sequence, request)) = requests.next() {
        let fits = |next: usize| datagram.len() + request.len() + next <= DATAGRAM;
        let last = !requests.peek().is_some_and(|(_, next)| fits(next.len()));
        request.write(&mut datagram, sequence, if last { NLM_F_ACK } else { 0 });
        if last {
            datagrams.push(std::mem::take(&mut datagram));
        }
    }
    Ok(datagrams)
}
