//! The RFCs' requirements on a client, one test each, driven packet by packet with a simulated clock. Sections are those of
//! RFC 9915 where no other is named.
//!
//! Some are held elsewhere: addresses without an implied prefix and unused until duplicate detection has ended (18.2.10.1) by
//! `facts` and the kernel; ports and multicast answers (7.2, 16) by `ask`; a DUID and IAIDs that stay the same (11, 12) by
//! `identity`.

use super::super::message::tests::{CLIENT, IAID, SERVER, address, answer, answer_of, ia, option, status_of};
use super::*;
use crate::lease::pseudorandom;

const ADDRESS: &str = "2001:db8::7";
const SECOND: &str = "2001:db8::8";
const OTHER_SERVER: &[u8] = &[0, 2, 0, 0, 0, 9, 8];

struct Link6 {
    client: Client6,
    now: Moment,
    random: u32,
}

/// A message of the client.
struct Sent6 {
    kind: u8,
    id: u32,
    options: Vec<(u16, Vec<u8>)>,
}

fn options(mut field: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut options = Vec::new();
    while let Some((head, rest)) = field.split_first_chunk::<4>() {
        let [code, length] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_be_bytes);
        let (value, rest) = rest.split_at(length.into());
        options.push((code, value.to_vec()));
        field = rest;
    }
    options
}

impl Sent6 {
    fn get(&self, code: u16) -> Option<&[u8]> {
        self.options.iter().find(|(known, _)| *known == code).map(|(_, value)| value.as_slice())
    }

    /// The addresses of the association, whose times are all 0.
    fn addresses(&self) -> Vec<Ipv6Addr> {
        let association = self.get(3).expect("an association");
        assert_eq!((&association[..4], &association[4..12]), (&IAID[..], &[0; 8][..]));
        let read = |(code, value): &(u16, Vec<u8>)| {
            assert_eq!((*code, &value[16..]), (5, &[0; 8][..]));
            Ipv6Addr::from(<[u8; 16]>::try_from(&value[..16]).unwrap())
        };
        options(&association[12..]).iter().map(read).collect()
    }

    /// The options that it asks for.
    fn requested(&self) -> Vec<u16> {
        let list = self.get(6).unwrap_or_default();
        list.chunks(2).map(|code| u16::from_be_bytes(code.try_into().unwrap())).collect()
    }

    fn elapsed(&self) -> u16 {
        u16::from_be_bytes(self.get(8).expect("the elapsed time").try_into().unwrap())
    }
}

fn sent(outputs: &[Output6]) -> Vec<Sent6> {
    let read = |output: &Output6| match output {
        Output6::Send(bytes) => Some(Sent6 {
            kind: bytes[0],
            id: u32::from_be_bytes([0, bytes[1], bytes[2], bytes[3]]),
            options: options(&bytes[4..]),
        }),
        _ => None,
    };
    outputs.iter().filter_map(read).collect()
}

fn only(outputs: &[Output6]) -> Sent6 {
    let mut sent = sent(outputs);
    assert_eq!(sent.len(), 1, "{outputs:?}");
    sent.remove(0)
}

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// With preference 255, which is taken at once.
fn at_once(granted: &[u8]) -> Vec<u8> {
    [granted, &option(7, &[255])].concat()
}

/// An association of one address with these lifetimes.
fn grant(t1: u32, t2: u32, preferred: u32, valid: u32) -> Vec<u8> {
    ia(t1, t2, &address(ADDRESS, preferred, valid, &[]))
}

/// Of two addresses.
fn grant_two(t1: u32, t2: u32, valid: [u32; 2]) -> Vec<u8> {
    let addresses = [address(ADDRESS, valid[0], valid[0], &[]), address(SECOND, valid[1], valid[1], &[])];
    ia(t1, t2, &addresses.concat())
}

fn name_server(refresh: Option<u32>) -> Vec<u8> {
    let server = option(23, &ip("2001:db8::53").octets());
    let refresh = refresh.map(|seconds| option(32, &seconds.to_be_bytes()));
    [server, refresh.unwrap_or_default()].concat()
}

fn stateless() -> Config6 {
    Config6 { stateless: true, ..Config6::default() }
}

fn rapid() -> Config6 {
    Config6 { rapid_commit: true, ..Config6::default() }
}

impl Link6 {
    fn new(kept: Option<Lease6>) -> Link6 {
        Link6::of(Config6::default(), kept)
    }

    fn of(config: Config6, kept: Option<Lease6>) -> Link6 {
        let host_name = Some("node1".to_owned());
        let config = Config6 { duid: CLIENT.to_vec(), iaid: IAID, host_name, ..config };
        let now = Duration::from_secs(1000);
        Link6 { client: Client6::new(config, kept, now), now, random: 0 }
    }

    fn event(&mut self, event: Event6<'_>) -> Vec<Output6> {
        let random = &mut self.random;
        self.client.handle(self.now, event, &mut || pseudorandom(random) >> 8)
    }

    /// Advances to the next deadline.
    fn next(&mut self) -> Vec<Output6> {
        self.now = self.client.deadline().expect("it waits for something").max(self.now);
        self.event(Event6::Timer)
    }

    /// Advances to the next message; returns how long that took.
    fn message(&mut self) -> (Duration, Sent6) {
        let begin = self.now;
        loop {
            let outputs = self.next();
            if let Some(message) = sent(&outputs).pop() {
                return (self.now - begin, message);
            }
        }
    }

    /// The next messages while they are of this type, and the seconds between them.
    fn repeated(&mut self, kind: u8) -> Vec<f64> {
        let mut waits = Vec::new();
        loop {
            let (waited, message) = self.message();
            if message.kind != kind || waits.len() == 30 {
                return waits;
            }
            waits.push(waited.as_secs_f64());
        }
    }

    fn up(&mut self) -> Sent6 {
        assert!(self.event(Event6::Carrier(true)).is_empty());
        let (delay, message) = self.message();
        assert!(delay <= MOST_DELAY, "{delay:?}");
        message
    }

    fn answer(&mut self, kind: u8, to: &Sent6, more: &[u8]) -> Vec<Output6> {
        self.event(Event6::Message(&answer(kind, to.id, more)))
    }

    /// The same of another server.
    fn other_answers(&mut self, kind: u8, to: &Sent6, more: &[u8]) -> Vec<Output6> {
        self.event(Event6::Message(&answer_of(OTHER_SERVER, kind, to.id, more)))
    }

    /// With a REQUEST for this association.
    fn requested(config: Config6, granted: &[u8]) -> (Link6, Sent6) {
        let mut link = Link6::of(config, None);
        let solicit = link.up();
        let request = only(&link.answer(2, &solicit, &at_once(granted)));
        (link, request)
    }

    /// With a lease of this association and these further options.
    fn granted(granted: &[u8], more: &[u8]) -> Link6 {
        let (mut link, request) = Link6::requested(Config6::default(), granted);
        let outputs = link.answer(7, &request, &[granted, more].concat());
        assert!(matches!(&outputs[..], [Output6::Bound(_)]), "{outputs:?}");
        link
    }

    /// The same with one address.
    fn bound(preferred: u32, valid: u32, t1: u32, t2: u32) -> Link6 {
        Link6::granted(&grant(t1, t2, preferred, valid), &[])
    }

    fn informed(more: &[u8]) -> Link6 {
        let mut link = Link6::of(stateless(), None);
        let asked = link.up();
        let outputs = link.answer(7, &asked, more);
        assert!(matches!(&outputs[..], [Output6::Bound(_)]), "{outputs:?}");
        link
    }

    fn addresses(&self) -> Vec<Ipv6Addr> {
        self.client.lease().map(Lease6::ips).unwrap_or_default()
    }

    /// Seconds until the lease is to be renewed and rebound.
    fn times(&self) -> (Option<u64>, Option<u64>) {
        let lease = self.client.lease().unwrap();
        let left = |time: Option<u64>| time.map(|time| (time - millis(self.now)) / 1000);
        (left(lease.t1), left(lease.t2))
    }

    /// The message that was sent last, as far as an answer to it is concerned.
    fn last(&self) -> Sent6 {
        let exchange = self.client.exchange().expect("it waits for an answer");
        Sent6 { kind: 0, id: exchange.id, options: Vec::new() }
    }

    fn next_kind(&mut self) -> u8 {
        self.message().1.kind
    }

    fn elapsed(&self, begin: Moment) -> u64 {
        (self.now - begin).as_secs()
    }
}

/// One message of each type that a client sends.
fn one_of_each() -> Vec<Sent6> {
    let (mut link, request) = Link6::requested(rapid(), &grant(100, 200, 300, 400));
    link.answer(7, &request, &grant(100, 200, 300, 400));
    let renew = link.message().1;
    let rebind = loop {
        let message = link.message().1;
        if message.kind != 5 {
            break message;
        }
    };
    link.answer(7, &rebind, &grant(100, 200, 300, 400));
    link.event(Event6::Carrier(false));
    let confirm = link.up();
    link.answer(7, &confirm, &status_of(0));
    let decline = only(&link.event(Event6::Duplicate(ip(ADDRESS))));
    let solicit = only(&link.answer(7, &decline, &status_of(0)));
    let mut released = Link6::bound(300, 400, 100, 200);
    released.event(Event6::Release);
    let inform = Link6::of(stateless(), None).up();
    vec![solicit, request, confirm, renew, rebind, released.message().1, decline, inform]
}

/// Whether the delays are those of section 15: each is twice the one before, all of them randomised by a tenth.
fn backs_off(waits: &[f64], first: f64, longest: f64) {
    let near = |is: f64, least: f64, most: f64| (least - 0.01..=most + 0.01).contains(&is);
    assert!(near(waits[0], first * 0.9, first * 1.1), "{waits:?}");
    for pair in waits.windows(2) {
        let doubled = near(pair[1], pair[0] * 1.9, pair[0] * 2.1);
        let is_longest = pair[0] * 2.1 >= longest && near(pair[1], longest * 0.9, longest * 1.1);
        assert!(doubled || is_longest, "{waits:?}");
    }
}

requirements! {
    "18.2.1" "SOLICIT names the client and an association whose times are 0, and no server"
    solicit_names_the_client_and_an_association {
        let solicit = Link6::new(None).up();
        assert_eq!((solicit.kind, solicit.get(1)), (1, Some(CLIENT)));
        assert_eq!((solicit.addresses(), solicit.get(2)), (Vec::new(), None));
    }

    "18.2.1, 18.2.3, 18.2.6" "the first SOLICIT, CONFIRM and INFORMATION-REQUEST of a link wait for up to a second, by chance"
    the_first_message_is_delayed {
        let kept = Link6::bound(3000, 4000, 1000, 2000).client.lease().cloned();
        for (config, kept) in [(Config6::default(), None), (Config6::default(), kept), (stateless(), None)] {
            let mut delays = std::collections::BTreeSet::new();
            for random in 0..20 {
                let mut link = Link6 { random, ..Link6::of(config.clone(), kept.clone()) };
                link.event(Event6::Carrier(true));
                let delay = link.message().0;
                assert!(delay <= Duration::from_secs(1));
                delays.insert(delay);
            }
            assert!(delays.len() > 10, "{delays:?}");
        }
    }

    "21.9, 15" "the elapsed time is 0 in the first message of an exchange, counts hundredths of a second, and ends at 0xffff"
    the_elapsed_time {
        let mut link = Link6::new(None);
        let first = link.up();
        let begin = link.now;
        assert_eq!(first.elapsed(), 0);
        for _ in 0..20 {
            let (_, message) = link.message();
            let expected = (link.now - begin).as_millis() / 10;
            assert_eq!(u128::from(message.elapsed()), expected.min(0xffff));
        }
        assert_eq!(link.message().1.elapsed(), 0xffff);
        let solicit = link.last();
        let request = only(&link.answer(2, &solicit, &at_once(&grant(0, 0, 60, 60))));
        assert_eq!(request.elapsed(), 0, "another exchange");
        assert!(one_of_each().iter().all(|message| message.get(8).is_some()));
    }

    "16.1" "each exchange has a transaction id of its own, which retransmissions keep"
    transaction_ids {
        let mut link = Link6::new(None);
        let (first, again) = (link.up(), link.message().1);
        assert_eq!(first.id, again.id);
        let request = only(&link.answer(2, &again, &at_once(&grant(0, 0, 60, 60))));
        assert_ne!(request.id, first.id);
        assert_eq!(link.message().1.id, request.id);
    }

    "18.2.1 to 18.2.8, 21.5, 21.20, 21.21" "each message has its options and no others: no IA_TA, no IA_PD, no Reconfigure Accept"
    the_options_of_each_message {
        let codes = |message: &Sent6| {
            let mut codes: Vec<u16> = message.options.iter().map(|(code, _)| *code).collect();
            codes.sort();
            (message.kind, codes)
        };
        let all: Vec<(u8, Vec<u16>)> = one_of_each().iter().map(codes).collect();
        let expected: [(u8, &[u16]); 8] = [
            (1, &[1, 3, 6, 8, 14, 39]),
            (3, &[1, 2, 3, 6, 8, 39]),
            (4, &[1, 3, 8]),
            (5, &[1, 2, 3, 6, 8, 39]),
            (6, &[1, 3, 6, 8, 39]),
            (8, &[1, 2, 3, 8]),
            (9, &[1, 2, 3, 8]),
            (11, &[1, 6, 8]),
        ];
        assert_eq!(all, expected.map(|(kind, codes)| (kind, codes.to_vec())));
    }

    "21.7, 21.23 to 21.25" "SOL_MAX_RT is asked for with addresses, INF_MAX_RT and the refresh time without; nothing that may not be"
    the_options_asked_for {
        let forbidden = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 18, 19, 20, 25, 26];
        for message in one_of_each() {
            let requested = message.requested();
            assert!(requested.iter().all(|code| !forbidden.contains(code)), "{requested:?}");
            let has = |code| requested.contains(&code);
            let expected = match message.kind {
                1 | 3 | 5 | 6 => (true, false, false),
                11 => (false, true, true),
                _ => (false, false, false),
            };
            assert_eq!((has(82), has(83), has(32)), expected, "{}", message.kind);
            assert!(message.get(6).is_none() || [23, 24, 31, 56].into_iter().all(has), "{}", message.kind);
        }
    }

    "15, 18.2.1" "SOLICIT is sent again after a second and more, then twice as long each time up to an hour, for ever"
    solicit_backs_off {
        let mut link = Link6::new(None);
        link.up();
        let waits = link.repeated(1);
        assert_eq!(waits.len(), 30);
        assert!(waits[0] > 1.0, "all servers have their time");
        backs_off(&waits, 1.05, 3600.0);
    }

    "18.2.1, 18.2.9" "advertisements are collected for the first delay, and the highest preference wins; without one it is 0"
    the_highest_preference_is_chosen {
        let mut link = Link6::new(None);
        let solicit = link.up();
        let offer = |preference: Option<u8>, last: &str| {
            let preference = preference.map(|preference| option(7, &[preference]));
            [ia(0, 0, &address(last, 60, 60, &[])), preference.unwrap_or_default()].concat()
        };
        for (preference, last) in [(None, "::1:1"), (Some(0), "::1:2"), (Some(9), "::1:9"), (Some(5), "::1:5"), (Some(9), "::1:a")] {
            assert_eq!(link.answer(2, &solicit, &offer(preference, &format!("2001:db8{last}"))), []);
        }
        let request = only(&link.next());
        assert_eq!((request.kind, request.addresses()), (3, vec![ip("2001:db8::1:9")]));
    }

    "18.2.1" "preference 255 is chosen at once"
    the_preference_that_ends_the_choice {
        let mut link = Link6::new(None);
        let solicit = link.up();
        assert_eq!(link.answer(2, &solicit, &grant(0, 0, 60, 60)), []);
        assert_eq!(only(&link.other_answers(2, &solicit, &at_once(&grant(0, 0, 60, 60)))).get(2), Some(OTHER_SERVER));
    }

    "18.2.1" "after the first delay the first advertisement is chosen"
    the_first_late_advertisement_is_chosen {
        let mut link = Link6::new(None);
        link.up();
        let (_, again) = link.message();
        assert_eq!(only(&link.answer(2, &again, &grant(0, 0, 60, 60))).kind, 3);
    }

    "18.2.9" "an advertisement without an address is ignored, and does not put off the next SOLICIT"
    an_empty_advertisement_is_ignored {
        let mut link = Link6::new(None);
        let solicit = link.up();
        let due = link.client.deadline();
        for refusal in [ia(0, 0, &status_of(2)), status_of(2), at_once(&ia(0, 0, &[])), at_once(&grant(0, 0, 0, 0))] {
            assert_eq!(link.answer(2, &solicit, &refusal), []);
        }
        assert_eq!((link.client.deadline(), link.client.state()), (due, "SOLICITING"));
        assert_eq!(link.next_kind(), 1);
    }

    "18.2.9, 18.2.10, 21.24" "SOL_MAX_RT counts even in a refusal, from 60 to 86400 s; advertisements that differ leave the default"
    the_longest_delay_that_servers_set {
        let longest = |told: &[(&[u8], u32)]| {
            let mut link = Link6::new(None);
            let solicit = link.up();
            for (server, told) in told {
                let refusal = [ia(0, 0, &status_of(2)), option(82, &told.to_be_bytes())].concat();
                link.event(Event6::Message(&answer_of(server, 2, solicit.id, &refusal)));
            }
            link.repeated(1).pop().unwrap().round() as u32
        };
        let near = |is: u32, expected: u32| assert!(is.abs_diff(expected) <= expected / 10, "{is}, not {expected}");
        near(longest(&[(SERVER, 90)]), 90);
        near(longest(&[(SERVER, 90), (OTHER_SERVER, 90)]), 90);
        near(longest(&[(SERVER, 90), (OTHER_SERVER, 100)]), 3600);
        near(longest(&[(SERVER, 90), (OTHER_SERVER, 100), (SERVER, 90)]), 3600);
        near(longest(&[(SERVER, 59), (SERVER, 86_401)]), 3600);
        near(longest(&[(SERVER, 60)]), 60);
        // Of a reply that refuses, too.
        let (mut link, request) = Link6::requested(Config6::default(), &grant(0, 0, 60, 60));
        link.answer(7, &request, &[ia(0, 0, &status_of(2)), option(82, &90_u32.to_be_bytes())].concat());
        near(link.repeated(1).pop().unwrap().round() as u32, 90);
    }

    "18.2.2" "REQUEST names the server and its addresses"
    a_request_names_server_and_addresses {
        let (_, request) = Link6::requested(Config6::default(), &grant_two(0, 0, [60, 60]));
        assert_eq!((request.kind, request.get(1), request.get(2)), (3, Some(CLIENT), Some(SERVER)));
        assert_eq!(request.addresses(), [ADDRESS, SECOND].map(ip));
    }

    "18.2.2" "REQUEST is sent ten times, after 1, 2, 4 … 30 s, and then servers are looked for anew"
    a_silent_server_is_given_up {
        let (mut link, _) = Link6::requested(Config6::default(), &grant(0, 0, 60, 60));
        let waits = link.repeated(3);
        assert_eq!((waits.len(), link.client.state()), (9, "SOLICITING"));
        backs_off(&waits, 1.0, 30.0);
    }

    "18.2.2, 18.2.9" "a server that was silent or has refused is chosen again only if no other advertises"
    another_server_is_preferred_to_one_that_refused {
        for silent in [true, false] {
            let (mut link, request) = Link6::requested(Config6::default(), &grant(0, 0, 60, 60));
            let solicit = match silent {
                true => {
                    link.repeated(3);
                    link.last()
                }
                false => {
                    assert_eq!(link.answer(7, &request, &ia(0, 0, &status_of(2))), []);
                    link.message().1
                }
            };
            assert_eq!(link.answer(2, &solicit, &at_once(&grant(0, 0, 60, 60))), [], "others have their time");
            assert_eq!(link.other_answers(2, &solicit, &grant(0, 0, 60, 60)), []);
            assert_eq!(link.message().1.get(2), Some(OTHER_SERVER));
        }
        let (mut link, request) = Link6::requested(Config6::default(), &grant(0, 0, 60, 60));
        link.answer(7, &request, &ia(0, 0, &status_of(2)));
        let solicit = link.message().1;
        link.answer(2, &solicit, &at_once(&grant(0, 0, 60, 60)));
        assert_eq!(link.message().1.get(2), Some(SERVER), "nobody else is there");
    }

    "18.2.10, 18.2.10.1" "a refused REQUEST (UnspecFail, NoAddrsAvail, NoBinding, NotOnLink) waits before servers are looked for, longer each time"
    a_refused_request_waits {
        for code in [1, 2, 3, 4, 99] {
            for refusal in [status_of(code), ia(0, 0, &status_of(code)), Vec::new()] {
                let (mut link, request) = Link6::requested(Config6::default(), &grant(0, 0, 60, 60));
                assert_eq!(link.answer(7, &request, &refusal), []);
                let (waited, message) = link.message();
                assert_eq!((waited, message.kind), (AFTER_REFUSAL, 1));
            }
        }
        let (mut link, mut request) = Link6::requested(Config6::default(), &grant(0, 0, 60, 60));
        let mut waits = Vec::new();
        for _ in 0..7 {
            link.answer(7, &request, &ia(0, 0, &status_of(2)));
            let (waited, solicit) = link.message();
            waits.push(waited.as_secs());
            link.answer(2, &solicit, &grant(0, 0, 60, 60));
            request = link.message().1;
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 320]);
    }

    "16.3, 16.10" "an answer with another transaction id or client, or without a client or server identifier, is dropped"
    answers_to_others_are_dropped {
        let identify = |code: u16, duid: &[u8]| option(code, duid);
        let (client, server) = (identify(1, CLIENT), identify(2, SERVER));
        let wrong = [
            vec![client.clone()],
            vec![server.clone()],
            vec![identify(1, &[0, 3, 0, 1, 9, 9]), server.clone()],
            vec![client.clone(), identify(2, &[])],
            vec![client.clone(), identify(2, &[7; 131])],
        ];
        let message = |kind: u8, id: u32, head: &[Vec<u8>]| {
            let id = id.to_be_bytes();
            [&[kind, id[1], id[2], id[3]], &head.concat()[..], &at_once(&grant(0, 0, 60, 60))].concat()
        };
        let mut link = Link6::new(None);
        let solicit = link.up();
        for head in &wrong {
            assert_eq!(link.event(Event6::Message(&message(2, solicit.id, head))), []);
        }
        let good = [client, server];
        assert_eq!(link.event(Event6::Message(&message(2, solicit.id ^ 1, &good))), []);
        let request = only(&link.event(Event6::Message(&message(2, solicit.id, &good))));
        for head in &wrong {
            assert_eq!(link.event(Event6::Message(&message(7, request.id, head))), []);
        }
        assert_eq!(link.event(Event6::Message(&message(7, request.id ^ 1, &good))), []);
        assert_eq!(link.other_answers(7, &request, &grant(0, 0, 60, 60)), [], "another server than the one asked");
        assert!(matches!(&link.event(Event6::Message(&message(7, request.id, &good)))[..], [Output6::Bound(_)]));
    }

    "16, 16.2 to 16.14, 18.2.11" "messages of other types are dropped, RECONFIGURE without a key among them"
    other_messages_are_dropped {
        let mut link = Link6::new(None);
        let solicit = link.up();
        for kind in (0..=255).filter(|kind| ![2, 7].contains(kind)) {
            let reconfigure = [at_once(&grant(0, 0, 60, 60)), option(19, &[5])].concat();
            assert_eq!(link.answer(kind, &solicit, &reconfigure), [], "{kind}");
        }
        assert_eq!(link.answer(7, &solicit, &grant(0, 0, 60, 60)), [], "a reply to nothing");
        let bound = Link6::bound(300, 400, 100, 200);
        assert!(!bound.client.listens(), "between its exchanges it hears nothing");
    }

    "16" "unknown options are ignored"
    unknown_options_are_ignored {
        let more = [option(97, b"x"), option(200, b""), option(65_000, &[0; 40])].concat();
        let inner = [address(ADDRESS, 60, 90, &option(201, b"y")), option(202, b"z")].concat();
        let link = Link6::granted(&ia(0, 0, &inner), &more);
        assert_eq!(link.addresses(), [ip(ADDRESS)]);
    }

    "21" "of an option that may occur once the first one counts, and they are never put together"
    repeated_options_are_not_combined {
        let servers = ["2001:db8::1", "2001:db8::2"].map(|server| option(23, &ip(server).octets()));
        let sntp = ["2001:db8::3", "2001:db8::4"].map(|server| option(31, &ip(server).octets()));
        let search = [option(24, b"\x01a\0"), option(24, b"\x01b\0")].concat();
        let more = [servers.concat(), sntp.concat(), search, option(2, OTHER_SERVER), status_of(0), status_of(2)];
        let link = Link6::granted(&grant(0, 0, 60, 60), &more.concat());
        let lease = link.client.lease().unwrap();
        assert_eq!((&lease.name_servers[..], &lease.time_servers[..]), (&[ip("2001:db8::1")][..], &[ip("2001:db8::3")][..]));
        assert_eq!((&lease.search[..], &lease.server[..]), (&["a".to_owned()][..], SERVER));
    }

    "18.2.10.1, 21.4, 21.6" "lifetimes, T1 and T2 count from the answer"
    times_count_from_the_answer {
        let (mut link, request) = Link6::requested(Config6::default(), &grant(100, 200, 300, 400));
        link.now += Duration::from_secs(3);
        link.answer(7, &request, &grant(100, 200, 300, 400));
        let (lease, now) = (link.client.lease().unwrap(), millis(link.now));
        assert_eq!(link.times(), (Some(100), Some(200)));
        assert_eq!(lease.addresses[0].preferred_until, Some(now + 300_000));
        assert_eq!(lease.addresses[0].valid_until, Some(now + 400_000));
        assert_eq!(link.client.state(), "BOUND");
    }

    "21.4" "an association with T1 after T2 is as good as absent, its status included"
    an_inconsistent_association_is_absent {
        let mut link = Link6::bound(300, 400, 100, 200);
        let (_, renew) = link.message();
        let late = [address(ADDRESS, 0, 0, &[]), status_of(3)].concat();
        assert_eq!(link.answer(7, &renew, &ia(20, 10, &late)), []);
        assert_eq!((link.client.state(), link.addresses()), ("RENEWING", vec![ip(ADDRESS)]));
    }

    "21.6" "an address whose preferred lifetime is longer than the valid one is discarded, and no other"
    an_inconsistent_address_is_discarded {
        let inner = [address(ADDRESS, 61, 60, &[]), address(SECOND, 60, 60, &[])].concat();
        let link = Link6::granted(&ia(0, 0, &inner), &[]);
        assert_eq!(link.addresses(), [ip(SECOND)]);
    }

    "14.2, 21.4" "T1 and T2 of 0 are half and four fifths of the shortest preferred lifetime, and never now"
    times_that_the_server_leaves_open {
        assert_eq!(Link6::bound(300, 400, 0, 0).times(), (Some(150), Some(240)));
        assert_eq!(Link6::granted(&grant_two(0, 0, [300, 100]), &[]).times(), (Some(50), Some(80)));
        assert_eq!(Link6::bound(0, 400, 0, 0).times(), (Some(200), Some(320)), "deprecated already");
        assert_eq!(Link6::bound(1, 1, 0, 0).times(), (Some(1), Some(1)));
        assert_eq!(Link6::bound(300, 400, 0, 100).times(), (Some(50), Some(100)), "RENEW comes before REBIND");
        assert_eq!(Link6::bound(300, 400, 100, 0).times(), (Some(100), Some(240)));
    }

    "7.7" "0xffffffff is for ever: of a lifetime, of T1, of T2"
    infinity {
        let link = Link6::bound(u32::MAX, u32::MAX, 0, 0);
        let lease = link.client.lease().unwrap();
        assert_eq!((lease.addresses[0].valid_until, link.times(), link.client.deadline()), (None, (None, None), None));
        let mut link = Link6::bound(300, 400, u32::MAX, u32::MAX);
        assert_eq!(link.next().first(), Some(&Output6::Lost(LeaseEnd::Expired)), "never renewed");
        let mut link = Link6::bound(u32::MAX, u32::MAX, 100, u32::MAX);
        assert!(link.repeated(5).len() == 30, "and never rebound");
    }

    "18.2.4, 21.4" "several addresses are one lease, and are renewed together"
    several_addresses {
        let mut link = Link6::granted(&grant_two(100, 200, [300, 250]), &[]);
        assert_eq!(link.message().1.addresses(), [ADDRESS, SECOND].map(ip));
    }

    "18.2.10.1" "addresses that are not mentioned stay as they are, new ones are added, those of lifetime 0 go"
    addresses_come_and_go {
        let mut link = Link6::bound(300, 400, 100, 200);
        let end = link.client.lease().unwrap().addresses[0].valid_until;
        let (_, renew) = link.message();
        link.answer(7, &renew, &ia(10, 20, &address(SECOND, 300, 400, &[])));
        assert_eq!(link.addresses(), [ADDRESS, SECOND].map(ip));
        assert_eq!(link.client.lease().unwrap().addresses[0].valid_until, end);
        let (_, renew) = link.message();
        link.answer(7, &renew, &grant_two(10, 20, [0, 400]));
        assert_eq!(link.addresses(), [ip(SECOND)]);
        let (_, renew) = link.message();
        let outputs = link.answer(7, &renew, &ia(10, 20, &address(SECOND, 0, 0, &[])));
        assert_eq!((&outputs[0], only(&outputs).kind), (&Output6::Lost(LeaseEnd::Refused), 1));
    }

    "18.2.4, 15" "at T1 the server is asked to RENEW, after 10 s again, and up to 600 s later, until T2"
    renewal {
        let mut link = Link6::bound(30_000, 40_000, 1000, 10_000);
        let begin = link.now;
        let (_, renew) = link.message();
        assert_eq!((link.elapsed(begin), renew.kind), (1000, 5));
        assert_eq!((renew.get(1), renew.get(2), renew.addresses()), (Some(CLIENT), Some(SERVER), vec![ip(ADDRESS)]));
        let waits = link.repeated(5);
        backs_off(&waits, 10.0, 600.0);
        assert_eq!((link.elapsed(begin), link.client.state()), (10_000, "REBINDING"));
    }

    "18.2.4" "an address that has expired is not renewed"
    an_expired_address_is_not_renewed {
        let mut link = Link6::granted(&grant_two(100, 200, [50, 400]), &[]);
        let outputs = link.next();
        assert!(matches!(&outputs[..], [Output6::Bound(lease)] if lease.ips() == [ip(SECOND)]), "{outputs:?}");
        assert_eq!(link.message().1.addresses(), [ip(SECOND)]);
    }

    "18.2.5" "at T2 any server is asked to REBIND, after 10 s again, until the last address has expired; then servers are looked for"
    rebinding {
        let mut link = Link6::granted(&grant_two(100, 200, [3000, 4000]), &[]);
        let begin = link.now;
        link.message();
        link.repeated(5);
        assert_eq!((link.elapsed(begin), link.client.state()), (200, "REBINDING"));
        assert_eq!(link.addresses().len(), 2, "in use meanwhile");
        let waits = link.repeated(6);
        backs_off(&waits[..6], 10.0, 600.0);
        assert_eq!((link.elapsed(begin), link.client.state(), link.client.lease()), (4000, "SOLICITING", None));
    }

    "18.2.4, 18.2.10.1" "a server that answers REBIND has the lease from then on, and addresses that it does not mention stay"
    another_server_rebinds {
        let mut link = Link6::granted(&grant_two(100, 200, [3000, 4000]), &[]);
        link.message();
        link.repeated(5);
        let rebind = link.last();
        let outputs = link.other_answers(7, &rebind, &grant(100, 200, 300, 400));
        assert!(matches!(&outputs[..], [Output6::Bound(_)]), "{outputs:?}");
        assert_eq!(link.addresses().len(), 2);
        assert_eq!(link.message().1.get(2), Some(OTHER_SERVER));
    }

    "18.2.10.1" "a server that does not know the lease (NoBinding) is asked for the same, which stays in use"
    a_server_without_records_is_asked_for_the_same {
        let mut link = Link6::bound(300, 400, 100, 200);
        let (_, renew) = link.message();
        let request = only(&link.answer(7, &renew, &ia(0, 0, &status_of(3))));
        assert_eq!((request.kind, request.get(2), request.addresses()), (3, Some(SERVER), vec![ip(ADDRESS)]));
        assert_eq!(link.addresses(), [ip(ADDRESS)]);
        link.answer(7, &request, &grant(100, 200, 300, 400));
        assert_eq!(link.client.state(), "BOUND");
    }

    "18, 18.2.13" "no address is in use while servers are looked for: what a server does not know and refuses is rebound until it expires"
    what_is_in_use_is_not_solicited {
        let mut link = Link6::bound(30_000, 40_000, 1000, 20_000);
        let begin = link.now;
        let mut kinds = Vec::new();
        while link.client.lease().is_some() {
            let outputs = link.next();
            let Some(message) = sent(&outputs).pop() else { continue };
            kinds.push(message.kind);
            if [5, 6].contains(&message.kind) {
                let request = only(&link.answer(7, &message, &ia(0, 0, &status_of(3))));
                assert_eq!(link.answer(7, &request, &ia(0, 0, &status_of(2))), []);
            }
        }
        assert_eq!(link.elapsed(begin), 40_000);
        let count = |kind| kinds.iter().filter(|k| **k == kind).count();
        assert!((25..40).contains(&count(5)) && (25..40).contains(&count(6)), "every ten minutes: {kinds:?}");
        assert_eq!((count(1), kinds.last()), (1, Some(&1)));
    }

    "18.2.10, 18.2.10.1" "RENEW that is refused or answered without an association is sent again in its time, and the address stays"
    a_refused_renewal_is_repeated {
        for refusal in [Vec::new(), status_of(1), ia(0, 0, &status_of(1)), ia(0, 0, &status_of(2)), ia(0, 0, &[])] {
            let mut link = Link6::bound(300, 400, 100, 200);
            let (_, renew) = link.message();
            let due = link.client.deadline();
            assert_eq!(link.answer(7, &renew, &refusal), []);
            assert_eq!((link.client.deadline(), link.client.state(), link.addresses().len()), (due, "RENEWING", 1));
        }
    }

    "18.2.10.5" "what a server tells no longer is not used any more"
    what_is_told_no_longer_goes {
        let mut link = Link6::granted(&grant(100, 200, 300, 400), &name_server(None));
        assert_eq!(link.client.lease().unwrap().name_servers.len(), 1);
        let (_, renew) = link.message();
        link.answer(7, &renew, &grant(100, 200, 300, 400));
        assert_eq!(link.client.lease().unwrap().name_servers, [""; 0].map(ip));
        let mut link = Link6::informed(&[name_server(None), option(24, b"\x01a\0")].concat());
        let (_, again) = link.message();
        link.answer(7, &again, &option(24, b"\x01b\0"));
        let lease = link.client.lease().unwrap();
        assert_eq!((lease.name_servers.len(), &lease.search[..]), (0, &["b".to_owned()][..]));
    }

    "18.2.3, 18.2.12" "carrier that returns has all addresses confirmed, by any server"
    carrier_that_returns {
        let mut link = Link6::granted(&grant_two(1000, 2000, [3000, 4000]), &[]);
        link.event(Event6::Carrier(false));
        assert_eq!(link.addresses().len(), 2);
        let confirm = link.up();
        assert_eq!((confirm.kind, confirm.get(1), confirm.get(2)), (4, Some(CLIENT), None));
        assert_eq!(confirm.addresses(), [ADDRESS, SECOND].map(ip));
        link.answer(7, &confirm, &[]);
        assert_eq!(link.client.state(), "BOUND", "without a status it is Success");
    }

    "18.2.3, 15" "CONFIRM is sent again after 1, 2 and 4 s, for ten seconds; where nobody answers, the addresses stay in use"
    nobody_confirms {
        let mut link = Link6::bound(3000, 4000, 1000, 2000);
        link.event(Event6::Carrier(false));
        link.up();
        let begin = link.now;
        let mut waits = Vec::new();
        while link.client.state() == "CONFIRMING" {
            let before = link.now;
            if !link.next().is_empty() {
                waits.push((link.now - before).as_secs_f64());
            }
        }
        backs_off(&waits, 1.0, 4.0);
        assert_eq!((waits.len(), link.client.state(), link.now - begin), (3, "BOUND", CONFIRM.whole));
        assert_eq!(link.addresses(), [ip(ADDRESS)]);
    }

    "18.2.10.3" "addresses of which servers say nothing but that they are not on the link are lost; one that knows them is enough"
    addresses_of_another_link {
        let confirming = || {
            let mut link = Link6::bound(3000, 4000, 1000, 2000);
            link.event(Event6::Carrier(false));
            let confirm = link.up();
            assert_eq!(link.answer(7, &confirm, &status_of(4)), [], "others have their time");
            (link, confirm)
        };
        let (mut link, _) = confirming();
        let outputs = link.next();
        assert_eq!((&outputs[0], only(&outputs).kind), (&Output6::Lost(LeaseEnd::Refused), 1));
        let (mut link, confirm) = confirming();
        link.other_answers(7, &confirm, &status_of(0));
        assert_eq!((link.client.state(), link.addresses().len()), ("BOUND", 1));
        assert_eq!(link.answer(7, &confirm, &status_of(4)), [], "late");
        let (mut link, confirm) = confirming();
        link.other_answers(7, &confirm, &status_of(1));
        assert_eq!(link.next_kind(), 1, "a failure is no confirmation");
    }

    "18.2.12" "other prefixes on the link have the addresses confirmed, or the rest asked for, at most every 30 s"
    other_prefixes_are_looked_into {
        let mut link = Link6::bound(3000, 4000, 1000, 2000);
        assert_eq!(link.event(Event6::OtherPrefixes), []);
        let (_, confirm) = link.message();
        assert_eq!(confirm.kind, 4);
        link.answer(7, &confirm, &status_of(0));
        link.event(Event6::OtherPrefixes);
        assert_eq!(link.client.state(), "BOUND", "too soon");
        link.now += Duration::from_secs(30);
        link.event(Event6::OtherPrefixes);
        assert_eq!(link.client.state(), "CONFIRMING");
        let mut link = Link6::informed(&name_server(None));
        link.event(Event6::OtherPrefixes);
        let (waited, message) = link.message();
        assert!(message.kind == 11 && waited <= MOST_DELAY);
        let mut link = Link6::new(None);
        let state = link.client.state();
        link.event(Event6::OtherPrefixes);
        assert_eq!(link.client.state(), state);
    }

    "18.2.12" "a client that has no address asks for the rest again when the carrier returns"
    carrier_that_returns_without_addresses {
        let mut link = Link6::informed(&name_server(None));
        link.event(Event6::Carrier(false));
        assert_eq!(link.up().kind, 11);
        assert!(link.client.lease().is_some());
    }

    "18.2.7" "RELEASE comes after the addresses have gone from the link; it names the server and them"
    a_release_comes_after_the_addresses_have_gone {
        let mut link = Link6::granted(&grant_two(100, 200, [300, 400]), &[]);
        assert_eq!(link.event(Event6::Release), [Output6::Lost(LeaseEnd::Released)]);
        assert_eq!((link.client.state(), link.client.lease()), ("RELEASING", None));
        let release = only(&link.event(Event6::Removed));
        assert_eq!((release.kind, link.client.state()), (8, "RELEASED"));
        assert_eq!((release.get(1), release.get(2)), (Some(CLIENT), Some(SERVER)));
        assert_eq!(release.addresses(), [ADDRESS, SECOND].map(ip));
        assert_eq!(link.event(Event6::Removed), [], "once");
        // Nobody says that they have gone.
        let mut link = Link6::bound(300, 400, 100, 200);
        link.event(Event6::Release);
        let (waited, message) = link.message();
        assert_eq!((waited, message.kind), (REMOVAL, 8));
    }

    "18.2.7, 15" "RELEASE is sent four times at most, after 1, 2 and 4 s, and nothing is asked any more"
    a_release_is_repeated {
        let mut link = Link6::bound(300, 400, 100, 200);
        link.event(Event6::Release);
        link.message();
        let waits: Vec<f64> = (0..3).map(|_| link.message().0.as_secs_f64()).collect();
        backs_off(&waits, 1.0, 1000.0);
        assert_eq!((link.next(), link.client.deadline()), (Vec::new(), None));
        assert_eq!((link.event(Event6::Carrier(true)), link.client.deadline()), (Vec::new(), None));
    }

    "18.2.7, 18.2.10.2" "whatever a server answers ends RELEASE and DECLINE: NoBinding is no error"
    any_answer_ends_a_release {
        for code in [0, 1, 3, 4] {
            let mut link = Link6::bound(300, 400, 100, 200);
            link.event(Event6::Release);
            let release = only(&link.event(Event6::Removed));
            assert_eq!(link.answer(7, &release, &status_of(code)), []);
            assert_eq!(link.client.deadline(), None);
            let mut link = Link6::bound(300, 400, 100, 200);
            let decline = only(&link.event(Event6::Duplicate(ip(ADDRESS))));
            assert_eq!(only(&link.answer(7, &decline, &ia(0, 0, &status_of(code)))).kind, 1);
        }
    }

    "18.2.8" "an address of another host is declined at its server, and the others stay in use"
    an_address_of_another_host_is_declined {
        let mut link = Link6::granted(&grant_two(100, 200, [300, 400]), &[]);
        assert_eq!(link.event(Event6::Duplicate(ip("2001:db8::99"))), [], "not ours");
        let outputs = link.event(Event6::Duplicate(ip(ADDRESS)));
        assert!(matches!(&outputs[0], Output6::Bound(lease) if lease.ips() == [ip(SECOND)]), "{outputs:?}");
        let decline = only(&outputs);
        assert_eq!((decline.kind, decline.get(1), decline.get(2)), (9, Some(CLIENT), Some(SERVER)));
        assert_eq!(decline.addresses(), [ip(ADDRESS)]);
        assert_eq!(link.client.account().duplicate, Some(ip(ADDRESS)));
        assert_eq!(link.answer(7, &decline, &status_of(0)), [], "nothing is released, and servers are not looked for");
        let (_, renew) = link.message();
        assert_eq!((renew.kind, renew.addresses()), (5, vec![ip(SECOND)]));
    }

    "18.2.8" "further addresses of other hosts are declined together"
    several_addresses_of_other_hosts {
        let mut link = Link6::granted(&grant_two(100, 200, [300, 400]), &[]);
        link.event(Event6::Duplicate(ip(ADDRESS)));
        let outputs = link.event(Event6::Duplicate(ip(SECOND)));
        assert_eq!((&outputs[0], only(&outputs).addresses()), (&Output6::Lost(LeaseEnd::Refused), [ADDRESS, SECOND].map(ip).to_vec()));
    }

    "18.2.8, 15" "DECLINE is sent four times at most, after 1, 2 and 4 s; then servers are looked for"
    a_decline_is_repeated {
        let mut link = Link6::bound(300, 400, 100, 200);
        link.event(Event6::Duplicate(ip(ADDRESS)));
        let waits = link.repeated(9);
        backs_off(&waits, 1.0, 1000.0);
        assert_eq!((waits.len(), link.client.state()), (3, "SOLICITING"));
    }

    "18.2.6, 21.25" "INFORMATION-REQUEST is sent again after 1 s, twice as long each time up to an hour or what a server has set (INF_MAX_RT)"
    information_requests_back_off {
        let mut link = Link6::of(stateless(), None);
        link.up();
        backs_off(&link.repeated(11), 1.0, 3600.0);
        for (told, longest) in [(90_u32, 90.0), (59, 3600.0)] {
            let mut link = Link6::of(stateless(), None);
            let asked = link.up();
            let refusal = [status_of(1), option(83, &told.to_be_bytes())].concat();
            assert_eq!((link.answer(7, &asked, &refusal), link.client.lease()), (Vec::new(), None));
            backs_off(&link.repeated(11), 1.0, longest);
        }
    }

    "21.23, 18.2.6" "the rest is asked for again after the time that the server says, a day without one, ten minutes at least, never for infinity, and a moment by chance later"
    the_refresh_time {
        for (refresh, least) in [(Some(1200), 1200), (None, 86_400), (Some(1), 600), (Some(600), 600)] {
            let mut link = Link6::informed(&name_server(refresh));
            let (waited, again) = link.message();
            let delay = waited.checked_sub(Duration::from_secs(least)).expect("not before");
            assert!(again.kind == 11 && delay > Duration::ZERO && delay <= MOST_DELAY, "{waited:?}");
            assert_eq!(link.answer(7, &again, &name_server(refresh)), [], "the same is nothing new");
        }
        assert_eq!(Link6::informed(&name_server(Some(u32::MAX))).client.deadline(), None);
    }

    "18.2.6" "what was told is used on while nobody answers, and given up without a RELEASE"
    what_was_told_is_used_on {
        let mut link = Link6::informed(&name_server(None));
        let first = link.message().1;
        let again = link.message().1;
        assert_eq!((again.kind, again.id), (11, first.id));
        assert!(link.client.lease().is_some_and(|lease| lease.is_in_force(link.now)));
        assert_eq!(link.event(Event6::Release), [Output6::Lost(LeaseEnd::Released)]);
        assert_eq!((link.client.state(), link.client.deadline()), ("RELEASED", None));
    }

    "18.2.1, 21.14" "where rapid commit is asked for, two messages make a lease; a reply that does not say so is none"
    rapid_commit {
        let granted = [grant(60, 90, 100, 200), option(14, &[])].concat();
        let mut link = Link6::of(rapid(), None);
        let solicit = link.up();
        assert_eq!(solicit.get(14), Some(&[][..]));
        assert_eq!(link.answer(7, &solicit, &grant(60, 90, 100, 200)), []);
        let outputs = link.answer(7, &solicit, &granted);
        assert!(matches!(&outputs[..], [Output6::Bound(_)]), "{outputs:?}");
        let mut plain = Link6::new(None);
        let solicit = plain.up();
        assert_eq!((solicit.get(14), plain.answer(7, &solicit, &granted)), (None, Vec::new()), "nobody has asked for that");
    }

    "18.2.1" "a server that advertises all the same is asked as usual, and a late rapid reply is dropped"
    rapid_commit_and_an_advertisement {
        let mut link = Link6::of(rapid(), None);
        let solicit = link.up();
        assert_eq!(link.answer(2, &solicit, &grant(60, 90, 100, 200)), []);
        let request = only(&link.next());
        assert_eq!(request.kind, 3);
        assert_eq!(link.answer(7, &solicit, &[grant(60, 90, 100, 200), option(14, &[])].concat()), []);
        assert!(matches!(&link.answer(7, &request, &grant(60, 90, 100, 200))[..], [Output6::Bound(_)]));
    }

    "14.1" "a link sends no more than 20 messages at once and one a second, whatever servers do"
    messages_are_limited {
        let mut link = Link6::new(None);
        link.event(Event6::Carrier(true));
        let begin = link.now;
        let mut count = 0;
        while link.now < begin + Duration::from_secs(60) {
            let mut outputs = link.next();
            // A server whose every address is another host's.
            while let Some(message) = sent(&outputs).pop() {
                count += 1;
                outputs = match message.kind {
                    1 => link.answer(2, &message, &at_once(&grant(0, 0, 60, 60))),
                    3 => {
                        link.answer(7, &message, &grant(0, 0, 60, 60));
                        link.event(Event6::Duplicate(ip(ADDRESS)))
                    }
                    _ => link.answer(7, &message, &status_of(0)),
                };
            }
        }
        assert!((60..=81).contains(&count), "{count}");
    }

    "21.12" "a server that wants to be asked by unicast is asked as before: by multicast, all of them"
    server_unicast_is_obsolete {
        let mut link = Link6::granted(&grant(100, 200, 300, 400), &option(12, &ip("2001:db8::1").octets()));
        assert_eq!(link.message().1.get(2), Some(SERVER));
    }

    "RFC 3646, RFC 4075, RFC 5908" "name servers keep their order, and time servers come from both of their options"
    names_and_time {
        let two = |a: &str, b: &str| [ip(a).octets(), ip(b).octets()].concat();
        let ntp = option(56, &option(1, &ip("2001:db8::3").octets()));
        let more = [
            option(23, &two("2001:db8::2", "2001:db8::1")),
            option(24, b"\x01b\x02ex\0\x01a\0"),
            option(31, &ip("2001:db8::4").octets()),
            ntp.clone(),
            ntp,
            option(56, &option(1, &ip("2001:db8::5").octets())),
        ];
        let link = Link6::granted(&grant(0, 0, 60, 60), &more.concat());
        let lease = link.client.lease().unwrap();
        assert_eq!(lease.name_servers, ["2001:db8::2", "2001:db8::1"].map(ip));
        assert_eq!(lease.search, ["b.ex", "a"]);
        assert_eq!(lease.time_servers, ["2001:db8::4", "2001:db8::3", "2001:db8::5"].map(ip));
    }

    "RFC 4704, 4.1, 4.2, 5" "the name is sent without flags and as a part of a name, and only where addresses are asked for"
    the_name {
        for message in one_of_each() {
            let expected = [1, 3, 5, 6].contains(&message.kind).then_some(&b"\0\x05node1"[..]);
            assert_eq!(message.get(39), expected, "{}", message.kind);
        }
    }

    "netapply" "hours of renewals"
    hours_of_renewals {
        let mut link = Link6::bound(300, 400, 100, 200);
        for _ in 0..1000 {
            let (_, renew) = link.message();
            assert_eq!(renew.kind, 5);
            let outputs = link.answer(7, &renew, &grant(100, 200, 300, 400));
            assert!(matches!(&outputs[..], [Output6::Bound(_)]));
        }
        assert!(link.now > Duration::from_secs(100_000));
    }

    "netapply" "a machine that slept past T2 asks any server, and past the end gives the address up"
    sleep_past_the_end {
        let mut link = Link6::bound(300, 400, 100, 200);
        link.now += Duration::from_secs(250);
        assert_eq!(only(&link.event(Event6::Timer)).kind, 6);
        link.now += Duration::from_secs(1000);
        let outputs = link.event(Event6::Timer);
        assert_eq!((&outputs[0], only(&outputs).kind), (&Output6::Lost(LeaseEnd::Expired), 1));
    }

    "netapply" "a lease that expires without carrier is lost, and when that returns servers are looked for"
    a_lease_ends_without_carrier {
        let mut link = Link6::bound(300, 400, 100, 200);
        link.event(Event6::Carrier(false));
        assert_eq!(link.next(), [Output6::Lost(LeaseEnd::Expired)]);
        assert_eq!(link.up().kind, 1);
    }

    "netapply" "when the carrier returns the back-off begins anew"
    carrier_begins_the_back_off_anew {
        let mut link = Link6::new(None);
        link.up();
        for _ in 0..8 {
            link.message();
        }
        link.event(Event6::Carrier(false));
        assert_eq!(link.client.deadline(), None);
        assert_eq!(link.up().elapsed(), 0);
        assert!(link.message().0 < Duration::from_secs(2));
    }

    "netapply" "a lease survives the end of the program: it is written, read back and confirmed"
    a_lease_is_written_and_read_back {
        let lease = Link6::granted(&grant_two(100, 200, [300, 400]), &name_server(None)).client.lease().cloned();
        let text = serde_json::to_string(&lease).unwrap();
        let read = serde_json::from_str::<Option<Lease6>>(&text).unwrap();
        assert_eq!(read, lease);
        let mut link = Link6::new(read);
        assert_eq!((link.up().kind, link.client.lease()), (4, lease.as_ref()));
    }

    "netapply" "a lease without addresses is none for a client that wants them"
    a_lease_without_addresses_is_none {
        let kept = Link6::informed(&name_server(None)).client.lease().cloned();
        assert_eq!(Link6::new(kept.clone()).client.lease(), None);
        assert!(Link6::of(stateless(), kept).client.lease().is_some());
        let kept = Link6::bound(300, 400, 100, 200).client.lease().cloned();
        assert_eq!(Link6::of(stateless(), kept).client.lease(), None);
    }

    "netapply" "servers that give no address are remembered with their status, a bounded number of them"
    servers_without_an_address_are_remembered {
        let mut link = Link6::new(None);
        let solicit = link.up();
        for number in 0..10_000_u16 {
            let server = [&[0, 2, 0, 0, 0, 9][..], &(number / 2).to_be_bytes()].concat();
            let refusal = ia(0, 0, &status_of(number % 2 + 1));
            link.event(Event6::Message(&answer_of(&server, 2, solicit.id, &refusal)));
        }
        let known = &link.client.account().without_address;
        assert!(known.len() == MOST_SERVERS && known.iter().all(|(_, code)| *code == 2), "{known:?}");
        assert_eq!(link.client.account().unanswered, 0);
    }

    "netapply" "a prefix that nobody asked for is told and not used"
    a_prefix_that_nobody_asked_for {
        let prefix = |net: &str, length: u8, valid: u32| {
            let head = [&1_u32.to_be_bytes()[..], &valid.to_be_bytes(), &[length]].concat();
            option(26, &[&head[..], &ip(net).octets()].concat())
        };
        let association = |inner: &[u8]| option(25, &[&[0; 12], inner].concat());
        let inner = [prefix("2001:db8:7::", 56, 10), prefix("2001:db8:8::", 56, 0), prefix("::", 129, 9)];
        let link = Link6::granted(&grant(0, 0, 60, 60), &association(&inner[..2].concat()));
        assert_eq!(link.client.lease().unwrap().delegated, ["2001:db8:7::/56".parse().unwrap()]);
        // One that does not hold together spoils the message.
        let mut link = Link6::new(None);
        let solicit = link.up();
        assert_eq!(link.answer(2, &solicit, &[at_once(&grant(0, 0, 60, 60)), association(&inner[2])].concat()), []);
    }
}

proptest::proptest! {
    /// In any order of events a deadline is never far in the past, and a lease is never in force after it expires.
    #[test]
    fn any_order_of_events(events in proptest::collection::vec((0_u8..8, 0_u32..500), 1..60)) {
        let mut link = Link6::new(None);
        let mut last = Vec::new();
        for (event, number) in events {
            let id = last.last().map_or(0, |sent: &Sent6| sent.id);
            let granted = ia(number / 4, number / 2, &address(ADDRESS, number, number, &[]));
            let outputs = match event {
                0 => link.event(Event6::Carrier(true)),
                1 => link.event(Event6::Carrier(number % 3 != 0)),
                2 => link.event(Event6::Message(&answer(2, id, &granted))),
                3 => link.event(Event6::Message(&answer(7, id, &granted))),
                4 => link.event(Event6::Message(&answer(7, id, &ia(0, 0, &status_of((number % 7) as u16))))),
                5 => link.event(Event6::Duplicate(ADDRESS.parse().unwrap())),
                6 if number == 0 => link.event(Event6::Release),
                _ => {
                    link.now += Duration::from_secs(number.into());
                    let mut outputs = Vec::new();
                    for _ in 0..200 {
                        if link.client.deadline().is_none_or(|deadline| deadline > link.now) {
                            break;
                        }
                        outputs.extend(link.event(Event6::Timer));
                    }
                    proptest::prop_assert!(link.client.deadline().is_none_or(|deadline| deadline > link.now));
                    outputs
                }
            };
            last.extend(sent(&outputs));
            if let Some(lease) = link.client.lease() {
                proptest::prop_assert!(!lease.addresses.is_empty());
            }
        }
    }
}
