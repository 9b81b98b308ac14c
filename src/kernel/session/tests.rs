//! A fake kernel at the other end of a socket pair, and the real one where no privilege is needed.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use netlink_packet_core::{NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_MULTIPART};

use super::*;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_GETROUTE: u16 = 26;

/// How long a session waits for the fake kernel, which must be able to answer in time on a busy machine.
const SILENCE: Duration = Duration::from_secs(5);

/// Runs `test` with a session whose other end is served by `kernel`: datagram in, datagrams out.
fn with_fake<R>(
    kernel: impl Fn(&[NetlinkMessage<'_>]) -> Vec<Vec<u8>> + Send + 'static,
    test: impl AsyncFnOnce(Session) -> R,
) -> R {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; DATAGRAM + 1];
        // Ends with the session, which closes the pair.
        while let Ok(length @ 1..) = theirs.recv(&mut buffer) {
            let request: Vec<_> = wire::frames(&buffer[..length]).collect();
            for answer in kernel(&request) {
                let _ = theirs.send(&answer);
            }
        }
    });
    let fd = OwnedFd::from(ours);
    run(async {
        // SAFETY: the descriptor is owned and handed over.
        let socket = unsafe {
            <Socket as std::os::fd::FromRawFd>::from_raw_fd(std::os::fd::IntoRawFd::into_raw_fd(fd))
        };
        test(Session::over(socket, SILENCE).unwrap()).await
    })
}

fn run<R>(future: impl Future<Output = R>) -> R {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Request::new(kind, flags, payload).write(&mut bytes, sequence, 0);
    bytes
}

fn ack_of(request: &NetlinkMessage<'_>, code: i32, text: &str) -> Vec<u8> {
    let mut payload = code.to_ne_bytes().to_vec();
    payload.extend([0; wire::HEADER]);
    if !text.is_empty() {
        payload.extend((text.len() as u16 + 5).to_ne_bytes());
        payload.extend(1u16.to_ne_bytes());
        payload.extend(text.as_bytes());
        payload.push(0);
    }
    message(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, request.sequence, &payload)
}

fn change(flags: u16) -> Request {
    Request::new(RTM_NEWLINK, flags, &[0; 16])
}

fn text_of(answer: &Result<Ack, Failure>) -> String {
    match answer {
        Ok(ack) => format!("ok {}", ack.warning.as_deref().unwrap_or_default()),
        Err(failure) => failure.to_string(),
    }
}

#[test]
fn each_message_of_a_batch_gets_its_own_answer() {
    let kernel = |requests: &[NetlinkMessage<'_>]| {
        let wanted = |(i, r): (usize, &NetlinkMessage<'_>)| match i {
            1 => Some(ack_of(r, -libc::EINVAL, "8021q: VLAN id out of range")),
            2 => Some(ack_of(r, 0, "option is deprecated")),
            _ if r.flags & NLM_F_ACK != 0 => Some(ack_of(r, 0, "")),
            _ => None,
        };
        requests.iter().enumerate().filter_map(wanted).collect()
    };
    let requests = [change(0), change(0).quiet(), change(0), change(0).quiet(), change(0).quiet()];
    let answers = with_fake(kernel, async |mut session| session.batch(&requests).await);
    let texts: Vec<_> = answers.iter().map(text_of).collect();
    assert_eq!(
        texts,
        ["ok ", "8021q: VLAN id out of range (EINVAL)", "ok option is deprecated", "ok ", "ok "]
    );
}

#[test]
fn a_lost_ack_ends_at_the_bound_and_the_session_continues() {
    // The second message of each datagram is never answered.
    let kernel = |requests: &[NetlinkMessage<'_>]| {
        requests.iter().enumerate().filter(|(i, _)| *i != 1).map(|(_, r)| ack_of(r, 0, "")).collect()
    };
    with_fake(kernel, async |mut session| {
        let answers = session.batch(&[change(0), change(0)]).await;
        assert_eq!(answers[0], Ok(Ack::default()));
        assert_eq!(answers[1], Err(Failure::Silent(SILENCE)));
        // In the middle of a datagram the loss is noticed as soon as the last message is answered.
        let answers = session.batch(&[change(0), change(0), change(0)]).await;
        assert_eq!(answers, [Ok(Ack::default()), Err(Failure::Lost), Ok(Ack::default())]);
    });
}

#[test]
fn a_reply_that_does_not_decode_is_handed_over_and_loses_nothing() {
    let kernel = |requests: &[NetlinkMessage<'_>]| {
        let sequence = requests[0].sequence;
        // An attribute that claims more bytes than there are, between two valid items.
        let broken = [0xff, 0xff, 1, 0];
        let mut datagram = message(RTM_NEWLINK, NLM_F_MULTIPART, sequence, &[1; 16]);
        datagram.extend(message(RTM_NEWLINK, NLM_F_MULTIPART, sequence, &broken));
        let mut end = message(RTM_NEWLINK, NLM_F_MULTIPART, sequence, &[3; 16]);
        end.extend(message(NLMSG_DONE, NLM_F_MULTIPART, sequence, &[0; 4]));
        vec![datagram, end]
    };
    let dump = with_fake(kernel, async |mut session| {
        session.dump(&Request::new(RTM_GETLINK, 0, &[0; 16]), |frame| Some(frame.payload.to_vec())).await
    });
    let expected = vec![vec![1; 16], vec![0xff, 0xff, 1, 0], vec![3; 16]];
    assert_eq!(dump, Ok(Dump { items: expected, consistent: true }));
}

#[test]
fn a_garbled_answer_neither_succeeds_nor_hangs() {
    let kernel = |requests: &[NetlinkMessage<'_>]| {
        let mut datagram = ack_of(&requests[0], 0, "");
        datagram[0] = 0xf0;
        vec![datagram, vec![1, 2, 3], Vec::from([0u8; 40])]
    };
    let answer = with_fake(kernel, async |mut session| session.request(&change(0)).await);
    assert_eq!(answer, Err(Failure::Silent(SILENCE)));
}

#[test]
fn an_interrupted_dump_is_read_again() {
    for (interruptions, consistent) in [(3, true), (u32::MAX, false)] {
        let kernel = move |requests: &[NetlinkMessage<'_>]| {
            // Sequence numbers count the attempts.
            let sequence = requests[0].sequence;
            let flags = if sequence <= interruptions { NLM_F_DUMP_INTR } else { 0 } | NLM_F_MULTIPART;
            vec![
                message(RTM_NEWLINK, flags, sequence, &[1; 16]),
                message(NLMSG_DONE, flags, sequence, &[0; 4]),
            ]
        };
        let dump = with_fake(kernel, async |mut session| {
            session.dump(&Request::new(RTM_GETLINK, 0, &[0; 16]), |frame| Some(frame.payload.len())).await
        });
        assert_eq!(dump, Ok(Dump { items: vec![16], consistent }));
    }
}

#[test]
fn an_item_longer_than_the_buffer_is_read_on_the_next_attempt() {
    let kernel = |requests: &[NetlinkMessage<'_>]| {
        let sequence = requests[0].sequence;
        let long = message(RTM_NEWLINK, NLM_F_MULTIPART, sequence, &vec![7; READ_BUFFER]);
        vec![long, message(NLMSG_DONE, NLM_F_MULTIPART, sequence, &[0; 4])]
    };
    let dump = with_fake(kernel, async |mut session| {
        session.dump(&Request::new(RTM_GETLINK, 0, &[0; 16]), |frame| Some(frame.payload.len())).await
    });
    assert_eq!(dump, Ok(Dump { items: vec![READ_BUFFER], consistent: true }));
}

#[test]
fn the_running_kernel_explains_refusals() {
    run(async {
        let mut session = Session::open(NetlinkFamily::Route).unwrap();
        // A route list filtered by a destination: strict checking refuses it.
        let mut header = [0; 12];
        header[0] = libc::AF_INET as u8;
        header[1] = 24;
        let refused = session.dump(&Request::new(RTM_GETROUTE, 0, &header), |_| Some(())).await.unwrap_err();
        assert_eq!(refused.to_string(), "Invalid values in header for FIB dump request (EINVAL)");
        // A refused list leaves the session usable.
        let links =
            session.dump(&Request::new(RTM_GETLINK, 0, &[0; 16]), |frame| Some(frame.kind)).await.unwrap();
        assert!(links.items.contains(&RTM_NEWLINK), "no link at all, not even lo");
    });
}

#[test]
fn an_overrun_is_detected_and_the_session_continues() {
    run(async {
        let mut session = Session::open(NetlinkFamily::Route).unwrap();
        // The kernel's minimum: room for a few answers, while the session assumes more.
        setsockopt(&session.socket, sockopt::RcvBuf, &256).unwrap();
        let mut nobody = [0; 16];
        nobody[4..8].copy_from_slice(&i32::MAX.to_ne_bytes());
        let requests = vec![Request::new(RTM_GETLINK, 0, &nobody); 300];
        let answers = session.batch(&requests).await;
        let refused = answers.iter().filter(|a| text_of(a) == "No such device (ENODEV)").count();
        let lost = answers.iter().filter(|a| **a == Err(Failure::Lost)).count();
        assert_eq!(refused + lost, 300, "{answers:?}");
        assert!(refused > 0 && lost > 0, "{refused} refused, {lost} lost");
        let again = session.request(&requests[0]).await;
        assert_eq!(text_of(&again), "No such device (ENODEV)");
    });
}

#[test]
fn a_full_datagram_of_refusals_fits_the_receive_buffer() {
    run(async {
        let mut session = Session::open(NetlinkFamily::Route).unwrap();
        let mut nobody = [0; 16];
        nobody[4..8].copy_from_slice(&i32::MAX.to_ne_bytes());
        let requests = vec![Request::new(RTM_GETLINK, 0, &nobody).quiet(); 5000];
        let answers = session.batch(&requests).await;
        assert!(answers.iter().all(|a| text_of(a) == "No such device (ENODEV)"));
    });
}

/// Datagrams that answer nothing keep no request waiting: the bound is per request, not per read.
#[test]
fn a_trickle_of_other_datagrams_is_not_waited_for() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    std::thread::spawn(move || {
        // Ends with the session, which closes the pair.
        while theirs.send(&message(RTM_NEWLINK, 0, 0, &[0; 16])).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    run(async {
        let fd = std::os::fd::IntoRawFd::into_raw_fd(OwnedFd::from(ours));
        // SAFETY: the descriptor is owned and handed over.
        let socket = unsafe { <Socket as std::os::fd::FromRawFd>::from_raw_fd(fd) };
        let mut session = Session::over(socket, Duration::from_millis(100)).unwrap();
        let request = Request::new(RTM_GETLINK, 0, &[0; 16]);
        let answer = tokio::time::timeout(SILENCE * 10, session.request(&request)).await;
        assert_eq!(answer, Ok(Err(Failure::Silent(Duration::from_millis(100)))));
        let list = tokio::time::timeout(SILENCE * 10, session.dump(&request, |_| Some(()))).await;
        assert_eq!(list, Ok(Err(Failure::Silent(Duration::from_millis(100)))));
    });
}
