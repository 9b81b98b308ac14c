//! The requirements of RFC 9915 on a client, driven packet by packet with a simulated clock.

use super::super::message::tests::{CLIENT, IAID, SERVER, address, answer, ia, option, status_of};
use super::*;

const ADDRESS: &str = "2001:db8::7";

struct Link6 {
    client: Client6,
    now: Moment,
    random: u32,
}

/// A message of the client: its type, its transaction id, and its options.
struct Sent6 {
    kind: u8,
    id: u32,
    bytes: Vec<u8>,
}

impl Sent6 {
    fn has(&self, option: &[u8]) -> bool {
        self.bytes.windows(option.len()).any(|part| part == option)
    }
}

fn sent(outputs: &[Output6]) -> Vec<Sent6> {
    let read = |output: &Output6| match output {
        Output6::Send(bytes) => Some(Sent6 {
            kind: bytes[0],
            id: u32::from_be_bytes([0, bytes[1], bytes[2], bytes[3]]),
            bytes: bytes.clone(),
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
        self.client.handle(self.now, event, &mut || {
            *random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *random >> 8
        })
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

    fn up(&mut self) -> Sent6 {
        assert!(self.event(Event6::Carrier(true)).is_empty());
        let (delay, message) = self.message();
        assert!(delay <= MOST_DELAY, "{delay:?}");
        message
    }

    fn answer(&mut self, kind: u8, to: &Sent6, more: &[u8]) -> Vec<Output6> {
        self.event(Event6::Message(&answer(kind, to.id, more)))
    }

    /// With a lease of these lifetimes and times.
    fn bound(preferred: u32, valid: u32, t1: u32, t2: u32) -> Link6 {
        let mut link = Link6::new(None);
        let solicit = link.up();
        let granted = ia(t1, t2, &address(ADDRESS, preferred, valid, &[]));
        let request = only(&link.answer(2, &solicit, &[&granted[..], &option(7, &[255])].concat()));
        let outputs = link.answer(7, &request, &granted);
        assert!(matches!(&outputs[..], [Output6::Bound(_)]), "{outputs:?}");
        link
    }

    fn elapsed(&self, begin: u64) -> u64 {
        self.now.as_secs() - begin
    }
}

#[test]
fn four_messages_make_a_lease() {
    let mut link = Link6::new(None);
    let solicit = link.up();
    // Client id, the association, the option request, and the name (RFC 4704) without flags.
    assert_eq!(solicit.kind, 1);
    assert!(solicit.has(&option(1, CLIENT)) && solicit.has(&ia(0, 0, &[])) && !solicit.has(&[0, 2, 0, 10]));
    assert!(solicit.has(&option(39, b"\0\x05node1")) && solicit.has(&[0, 23, 0, 24]));
    let granted = ia(100, 200, &address(ADDRESS, 300, 400, &[]));
    assert!(link.answer(2, &solicit, &granted).is_empty(), "others have their time");
    let request = only(&link.next());
    assert_eq!(request.kind, 3);
    assert!(request.has(&option(2, SERVER)) && request.has(&address(ADDRESS, 0, 0, &[])));
    assert_ne!(request.id, solicit.id);
    let outputs = link.answer(7, &request, &[&granted[..], &option(23, &[0x20; 16])].concat());
    let [Output6::Bound(lease)] = &outputs[..] else { panic!("{outputs:?}") };
    let now = millis(link.now);
    assert_eq!((lease.t1, lease.t2), (Some(now + 100_000), Some(now + 200_000)));
    assert_eq!(lease.addresses[0].preferred_until, Some(now + 300_000));
    assert_eq!(lease.addresses[0].valid_until, Some(now + 400_000));
    assert_eq!((lease.name_servers.len(), link.client.state()), (1, "BOUND"));
    assert!(!link.client.listens());
}

#[test]
fn the_server_with_the_highest_preference_is_chosen() {
    let mut link = Link6::new(None);
    let solicit = link.up();
    let offer = |preference: u8, last: &str| {
        [ia(0, 0, &address(last, 60, 60, &[])), option(7, &[preference])].concat()
    };
    for (preference, last) in [(3, "2001:db8::3"), (9, "2001:db8::9"), (5, "2001:db8::5"), (9, "2001:db8::a")]
    {
        assert!(link.answer(2, &solicit, &offer(preference, last)).is_empty());
    }
    let request = only(&link.next());
    assert!(request.has(&address("2001:db8::9", 0, 0, &[])));
    // One with 255 is chosen without comparison.
    let mut link = Link6::new(None);
    let solicit = link.up();
    assert_eq!(only(&link.answer(2, &solicit, &offer(255, ADDRESS))).kind, 3);
}

#[test]
fn retransmissions_double_up_to_their_bound() {
    let mut link = Link6::new(None);
    link.up();
    let mut base = 1.0_f64;
    for number in 0..16 {
        let (waited, message) = link.message();
        assert_eq!(message.kind, 1);
        let (least, most) = if number == 0 { (1.0, 1.1) } else { (base * 0.9, base * 1.1) };
        let waited = waited.as_secs_f64();
        assert!((least - 0.01..=most + 0.01).contains(&waited), "{number}: {waited} of {base}");
        base = (waited * 2.0).min(3600.0);
    }
    // A server may limit it without having an address to give.
    let (_, solicit) = link.message();
    let refusal = [ia(0, 0, &status_of(2)), option(82, &[0, 0, 0, 90])].concat();
    assert!(link.answer(2, &solicit, &refusal).is_empty());
    link.message();
    assert!(link.message().0 <= Duration::from_secs(99));
    assert_eq!(link.client.account().without_address, [(SERVER.to_vec(), 2)]);
}

#[test]
fn a_server_that_offers_and_keeps_silent_is_left() {
    let mut link = Link6::new(None);
    let solicit = link.up();
    let granted = [ia(0, 0, &address(ADDRESS, 60, 60, &[])), option(7, &[255])].concat();
    assert_eq!(only(&link.answer(2, &solicit, &granted)).kind, 3);
    let kinds: Vec<u8> = (0..10).map(|_| link.message().1.kind).collect();
    assert_eq!(kinds, [3, 3, 3, 3, 3, 3, 3, 3, 3, 1], "ten requests in all");
}

#[test]
fn a_refused_request_waits_before_it_looks_for_another() {
    let mut link = Link6::new(None);
    let solicit = link.up();
    let granted = [ia(0, 0, &address(ADDRESS, 60, 60, &[])), option(7, &[255])].concat();
    let request = only(&link.answer(2, &solicit, &granted));
    assert!(link.answer(7, &request, &ia(0, 0, &status_of(status::NO_ADDRESSES))).is_empty());
    let (waited, message) = link.message();
    assert_eq!((waited, message.kind), (AFTER_REFUSAL, 1));
}

#[test]
fn a_lease_is_renewed_then_rebound_then_gone() {
    let mut link = Link6::bound(300, 400, 100, 200);
    let begin = link.now.as_secs();
    let (_, renew) = link.message();
    assert_eq!((link.elapsed(begin), renew.kind), (100, 5));
    assert!(renew.has(&option(2, SERVER)) && renew.has(&address(ADDRESS, 0, 0, &[])));
    assert!((9..=11).contains(&link.message().0.as_secs()), "REN_TIMEOUT");
    let rebind = loop {
        let (_, message) = link.message();
        if message.kind != 5 {
            break message;
        }
    };
    assert_eq!((link.elapsed(begin), rebind.kind), (200, 6));
    assert!(!rebind.has(&option(2, SERVER)), "any server");
    let lost = loop {
        let outputs = link.next();
        if outputs.contains(&Output6::Lost(LeaseEnd::Expired)) {
            break outputs;
        }
    };
    assert_eq!((link.elapsed(begin), link.client.lease()), (400, None));
    assert_eq!(only(&lost).kind, 1, "and it asks anew at once");
}

#[test]
fn hours_of_renewals() {
    let mut link = Link6::bound(300, 400, 100, 200);
    for _ in 0..1000 {
        let (_, renew) = link.message();
        assert_eq!(renew.kind, 5);
        let outputs = link.answer(7, &renew, &ia(100, 200, &address(ADDRESS, 300, 400, &[])));
        assert!(matches!(&outputs[..], [Output6::Bound(_)]));
    }
    assert!(link.now > Duration::from_secs(100_000));
}

#[test]
fn a_server_without_records_is_asked_for_the_same_again() {
    let mut link = Link6::bound(300, 400, 100, 200);
    let (_, renew) = link.message();
    let request = only(&link.answer(7, &renew, &ia(0, 0, &status_of(status::NO_BINDING))));
    assert_eq!(request.kind, 3);
    assert!(request.has(&address(ADDRESS, 0, 0, &[])));
    assert!(link.client.lease().is_some(), "it may be used on");
    link.answer(7, &request, &ia(100, 200, &address(ADDRESS, 300, 400, &[])));
    assert_eq!(link.client.state(), "BOUND");
}

#[test]
fn withdrawn_addresses_are_removed_and_unmentioned_ones_stay() {
    let mut link = Link6::bound(300, 400, 100, 200);
    let (_, renew) = link.message();
    link.answer(7, &renew, &ia(10, 20, &address("2001:db8::8", 300, 400, &[])));
    assert_eq!(link.client.lease().unwrap().addresses.len(), 2);
    let (_, renew) = link.message();
    let inner = [address(ADDRESS, 0, 0, &[]), address("2001:db8::8", 300, 400, &[])].concat();
    link.answer(7, &renew, &ia(10, 20, &inner));
    assert_eq!(link.client.lease().unwrap().ips(), ["2001:db8::8".parse::<Ipv6Addr>().unwrap()]);
    let (_, renew) = link.message();
    let outputs = link.answer(7, &renew, &ia(10, 20, &address("2001:db8::8", 0, 0, &[])));
    assert!(outputs.contains(&Output6::Lost(LeaseEnd::Refused)), "{outputs:?}");
    assert_eq!(only(&outputs).kind, 1);
}

#[test]
fn carrier_that_returns_has_the_addresses_confirmed() {
    for (code, state, kept) in [(status::SUCCESS, "BOUND", true), (status::NOT_ON_LINK, "SOLICITING", false)]
    {
        let mut link = Link6::bound(3000, 4000, 1000, 2000);
        link.event(Event6::Carrier(false));
        assert!(link.client.lease().is_some());
        let confirm = link.up();
        assert_eq!(confirm.kind, 4);
        assert!(confirm.has(&address(ADDRESS, 0, 0, &[])) && !confirm.has(&option(2, SERVER)));
        link.answer(7, &confirm, &status_of(code));
        assert_eq!((link.client.state(), link.client.lease().is_some()), (state, kept));
    }
    // Nobody answers: they remain in use.
    let mut link = Link6::bound(3000, 4000, 1000, 2000);
    link.event(Event6::Carrier(false));
    link.up();
    let begin = link.now;
    while link.client.state() == "CONFIRMING" {
        link.next();
    }
    assert_eq!((link.client.state(), link.now - begin), ("BOUND", CONFIRM.whole));
    assert!(link.client.lease().is_some());
}

#[test]
fn an_address_of_another_host_is_declined() {
    let mut link = Link6::bound(300, 400, 100, 200);
    let ip = ADDRESS.parse().unwrap();
    assert!(link.event(Event6::Duplicate("2001:db8::99".parse().unwrap())).is_empty(), "not ours");
    let outputs = link.event(Event6::Duplicate(ip));
    assert!(outputs.contains(&Output6::Lost(LeaseEnd::Refused)));
    let decline = only(&outputs);
    assert_eq!(decline.kind, 9);
    assert!(decline.has(&option(2, SERVER)) && decline.has(&address(ADDRESS, 0, 0, &[])));
    assert_eq!(link.client.account().duplicate, Some(ip));
    let outputs = link.answer(7, &decline, &status_of(0));
    assert_eq!(only(&outputs).kind, 1);
    // A server that does not answer is notified four times.
    let mut link = Link6::bound(300, 400, 100, 200);
    link.event(Event6::Duplicate(ip));
    let kinds: Vec<u8> = (0..4).map(|_| link.message().1.kind).collect();
    assert_eq!(kinds, [9, 9, 9, 1]);
}

#[test]
fn a_lease_is_released_when_asked() {
    let mut link = Link6::bound(300, 400, 100, 200);
    let outputs = link.event(Event6::Release);
    assert_eq!(outputs[0], Output6::Lost(LeaseEnd::Released));
    let release = only(&outputs);
    assert_eq!((release.kind, link.client.state()), (8, "RELEASED"));
    assert_eq!(link.message().1.kind, 8, "until the server has heard it");
    link.answer(7, &release, &status_of(0));
    assert_eq!(link.client.deadline(), None);
}

fn name_server(refresh: Option<u32>) -> Vec<u8> {
    let server = option(23, &"2001:db8::53".parse::<Ipv6Addr>().unwrap().octets());
    let refresh = refresh.map(|seconds| option(32, &seconds.to_be_bytes()));
    [server, refresh.unwrap_or_default()].concat()
}

#[test]
fn what_comes_without_addresses_is_asked_for_alone_and_again() {
    let mut link = Link6::of(Config6 { stateless: true, ..Config6::default() }, None);
    let asked = link.up();
    assert_eq!(asked.kind, 11);
    assert!(!asked.has(&IAID) && !asked.has(&[0, 8, b'\x05', b'n']), "no association, no name");
    assert!(asked.has(&[0, 32]), "when to ask again is asked for");
    let outputs = link.answer(7, &asked, &name_server(Some(1200)));
    let [Output6::Bound(lease)] = &outputs[..] else { panic!("{outputs:?}") };
    assert!(lease.addresses.is_empty() && lease.name_servers.len() == 1);
    assert_eq!(link.client.state(), "INFORMED");
    let (waited, again) = link.message();
    assert_eq!(again.kind, 11);
    assert!((1200..1202).contains(&waited.as_secs()), "{waited:?}");
    // The same is nothing new; nobody answers: it is used on.
    assert_eq!(link.answer(7, &again, &name_server(None)), []);
    let (waited, again) = link.message();
    assert!((86_400..86_402).contains(&waited.as_secs()), "{waited:?}");
    let retried = link.message().1;
    assert_eq!((retried.kind, retried.id), (11, again.id));
    assert!(link.client.lease().is_some_and(|lease| lease.is_in_force(link.now)));
    // A server that would be asked all the time is asked every ten minutes.
    link.answer(7, &retried, &name_server(Some(1)));
    assert_eq!(link.message().0.as_secs() / 10, 60);
    let outputs = link.event(Event6::Release);
    assert_eq!(outputs, [Output6::Lost(LeaseEnd::Released)]);
    assert_eq!(link.client.state(), "RELEASED");
}

#[test]
fn a_lease_without_addresses_is_none_for_a_client_that_wants_them() {
    let mut link = Link6::of(Config6 { stateless: true, ..Config6::default() }, None);
    let asked = link.up();
    link.answer(7, &asked, &name_server(None));
    let kept = link.client.lease().cloned();
    assert_eq!(Link6::new(kept.clone()).client.lease(), None);
    let config = Config6 { stateless: true, ..Config6::default() };
    assert!(Link6::of(config, kept).client.lease().is_some());
}

#[test]
fn two_messages_make_a_lease_where_that_is_asked_for() {
    let grant = [ia(60, 90, &address(ADDRESS, 100, 200, &[])), option(14, &[])].concat();
    let mut link = Link6::of(Config6 { rapid_commit: true, ..Config6::default() }, None);
    let solicited = link.up();
    assert!(solicited.has(&[0, 14, 0, 0]));
    // A server that cannot commit in two messages advertises as usual; a reply that does not say so is none.
    assert_eq!(link.answer(7, &solicited, &ia(60, 90, &address(ADDRESS, 100, 200, &[]))), []);
    let outputs = link.answer(7, &solicited, &grant);
    assert!(matches!(&outputs[..], [Output6::Bound(lease)] if lease.addresses.len() == 1), "{outputs:?}");
    assert_eq!(link.client.state(), "BOUND");
    let mut plain = Link6::new(None);
    let solicited = plain.up();
    assert!(!solicited.has(&[0, 14, 0, 0]));
    assert_eq!(plain.answer(7, &solicited, &grant), [], "nobody has asked for that");
}

#[test]
fn a_prefix_that_nobody_asked_for_is_told_and_not_used() {
    let prefix = |net: &str, length: u8, valid: u32| {
        let net: Ipv6Addr = net.parse().unwrap();
        let head = [&1_u32.to_be_bytes()[..], &valid.to_be_bytes(), &[length]].concat();
        option(26, &[&head[..], &net.octets()].concat())
    };
    let association = |inner: &[u8]| option(25, &[&[0; 12], inner].concat());
    let mut link = Link6::new(None);
    let solicited = link.up();
    let offer = ia(60, 90, &address(ADDRESS, 100, 200, &[]));
    let asked = only(&{ link.answer(2, &solicited, &[offer.clone(), option(7, &[255])].concat()) });
    let inner = [prefix("2001:db8:7::", 56, 10), prefix("2001:db8:8::", 56, 0), prefix("::", 129, 9)];
    link.answer(7, &asked, &[offer.clone(), association(&inner[..2].concat())].concat());
    assert_eq!(link.client.lease().unwrap().delegated, ["2001:db8:7::/56".parse().unwrap()]);
    // One that does not hold together spoils the message.
    let mut link = Link6::new(None);
    let solicited = link.up();
    let broken = [offer, option(7, &[255]), association(&inner[2])].concat();
    assert_eq!(link.answer(2, &solicited, &broken), []);
}

#[test]
fn answers_to_other_questions_are_ignored() {
    let mut link = Link6::new(None);
    let solicit = link.up();
    let granted = [ia(0, 0, &address(ADDRESS, 60, 60, &[])), option(7, &[255])].concat();
    assert!(link.event(Event6::Message(&answer(2, solicit.id ^ 1, &granted))).is_empty());
    assert!(link.answer(7, &solicit, &granted).is_empty(), "a reply where none was asked for");
    assert!(link.answer(10, &solicit, &granted).is_empty(), "RECONFIGURE without a key");
    let id = solicit.id.to_be_bytes();
    let head = [&[2, id[1], id[2], id[3]], &option(1, &[0, 3, 0, 1, 9, 9])[..], &option(2, SERVER)].concat();
    assert!(link.event(Event6::Message(&[&head[..], &granted].concat())).is_empty(), "another client's");
    let request = only(&link.answer(2, &solicit, &granted));
    let other = answer(7, request.id, &granted).into_iter().collect::<Vec<_>>();
    let other: Vec<u8> = [&other[..18], &option(2, &[0, 3, 0, 1, 8, 8, 8, 8, 8, 8])[..], &granted].concat();
    assert!(link.event(Event6::Message(&other)).is_empty(), "another server's");
}

#[test]
fn times_that_the_server_leaves_open_are_parts_of_the_shortest_lifetime() {
    let link = Link6::bound(300, 400, 0, 0);
    let lease = link.client.lease().unwrap();
    let now = millis(link.now);
    assert_eq!((lease.t1, lease.t2), (Some(now + 150_000), Some(now + 240_000)));
    let link = Link6::bound(u32::MAX, u32::MAX, 0, 0);
    let lease = link.client.lease().unwrap();
    assert_eq!((lease.t1, lease.addresses[0].valid_until, link.client.deadline()), (None, None, None));
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
