//! The RFCs' requirements on a host as far as advertisements are read here, one test each, driven packet by packet with a
//! simulated clock.
//!
//! The kernel holds the others: the check sum (RFC 4861, 6.1.2); default routers, on-link prefixes, the hop limit, the MTU and
//! the times of neighbour discovery (6.3.4); addresses (RFC 4862, 5.5.3); routes and their preferences (RFC 4191, 3).

use super::super::message::tests::{ROUTER, dnssl, option, packet, prefix, prefix_for, rdnss, route};
use super::super::message::{HOP_LIMIT, solicitation};
use super::*;
use crate::lease::pseudorandom;
use crate::model::MacAddr;

const OTHER_ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const SERVER: &str = "2001:db8::53";
const NET: &str = "2001:db8:1::/64";
/// M, and O.
const MANAGED: u8 = 0x80;
const OTHER: u8 = 0x40;
/// L and A of a prefix.
const ON_LINK_AND_AUTONOMOUS: u8 = 0xc0;

fn at(milliseconds: u64) -> Moment {
    Duration::from_millis(milliseconds)
}

struct Bench {
    solicitor: Solicitor,
    now: Moment,
    random: u32,
}

impl Bench {
    fn new() -> Bench {
        let mut bench = Bench { solicitor: Solicitor::new(Vec::new(), at(0)), now: at(0), random: 0 };
        assert_eq!(bench.event(RaEvent::Carrier(true)), []);
        bench
    }

    fn event(&mut self, event: RaEvent<'_>) -> Vec<RaOutput> {
        let random = &mut self.random;
        self.solicitor.handle(self.now, event, &mut || pseudorandom(random) >> 8)
    }

    /// Advances to the next deadline.
    fn next(&mut self) -> Vec<RaOutput> {
        self.now = self.solicitor.deadline().expect("something is due").max(self.now);
        self.event(RaEvent::Timer)
    }

    /// The seconds until the next solicitation.
    fn solicitation(&mut self) -> f64 {
        let begin = self.now;
        while !self.next().contains(&RaOutput::Solicit) {}
        (self.now - begin).as_secs_f64()
    }

    /// A packet from this address with this hop limit; `None` if it is not believed.
    fn packet(&mut self, from: Ipv6Addr, hop_limit: u8, bytes: &[u8]) -> Option<Vec<RaOutput>> {
        let told = Advertisement::read(from, hop_limit, bytes)?;
        Some(self.event(RaEvent::Advertised(from, &told)))
    }

    fn hear_from(&mut self, router: Ipv6Addr, flags: u8, lifetime: u16, options: &[u8]) -> Vec<RaOutput> {
        self.packet(router, HOP_LIMIT, &packet(flags, lifetime, options)).expect("it is believed")
    }

    fn hear(&mut self, flags: u8, lifetime: u16, options: &[u8]) -> Vec<RaOutput> {
        self.hear_from(ROUTER, flags, lifetime, options)
    }

    /// One that has heard an advertisement.
    fn told(flags: u8, lifetime: u16, options: &[u8]) -> Bench {
        let mut bench = Bench::new();
        assert_eq!(bench.hear(flags, lifetime, options), [RaOutput::Changed]);
        bench
    }

    fn router(&self) -> &Router {
        &self.solicitor.routers()[0]
    }

    fn servers(&self) -> Vec<String> {
        let routers = self.solicitor.routers().iter();
        routers.flat_map(|router| router.name_servers(self.now)).map(|ip| ip.to_string()).collect()
    }

    fn search(&self) -> Vec<&str> {
        self.solicitor.routers().iter().flat_map(|router| router.search(self.now)).collect()
    }

    fn nets(&self) -> Vec<String> {
        self.router().prefixes.iter().map(|(net, ..)| net.to_string()).collect()
    }
}

/// A list with lifetimes, of which `option` advertises one item: it goes when its time is over, when its lifetime is 0, and
/// never if that is infinite; each advertisement counts anew.
fn lasts_as_advertised(option: impl Fn(u32) -> Vec<u8>, is_there: impl Fn(&Bench) -> bool) {
    let mut bench = Bench::told(0, 1800, &option(60));
    assert!(is_there(&bench));
    bench.now = at(59_999);
    assert!(is_there(&bench));
    bench.hear(0, 1800, &option(60));
    bench.now = at(119_998);
    assert!(is_there(&bench), "for another minute");
    while bench.now < at(119_999) {
        bench.next();
    }
    assert!(!is_there(&bench) && bench.solicitor.routers().len() == 1, "the router stays");
    bench.now = at(125_000);
    bench.hear(0, 1800, &option(60));
    bench.now = at(130_000);
    assert_eq!(bench.hear(0, 1800, &option(0)), [RaOutput::Changed]);
    assert!(!is_there(&bench), "taken back");
    bench.now = at(135_000);
    bench.hear(0, 1800, &option(u32::MAX));
    bench.now = at(1_000_000_000);
    assert!(is_there(&bench));
}

requirements! {
    "RFC 4861, 6.1.2" "an advertisement comes from a link-local address"
    the_source_is_link_local {
        let mut bench = Bench::new();
        for from in ["2001:db8::1", "::", "::1", "ff02::1", "fec0::1"] {
            assert_eq!(bench.packet(from.parse().unwrap(), 255, &packet(0, 1800, &[])), None, "{from}");
        }
        assert!(bench.packet(ROUTER, 255, &packet(0, 1800, &[])).is_some());
    }

    "RFC 4861, 6.1.2" "its hop limit is 255: no router has forwarded it"
    the_hop_limit_is_255 {
        for hop_limit in 0..255 {
            assert_eq!(Bench::new().packet(ROUTER, hop_limit, &packet(0, 1800, &[])), None);
        }
    }

    "RFC 4861, 6.1.2" "its code is 0, and it has 16 bytes or more"
    the_code_and_the_length {
        let whole = packet(0, 1800, &[]);
        let mut other = whole.clone();
        other[1] = 1;
        assert_eq!(Bench::new().packet(ROUTER, 255, &other), None);
        for length in 0..16 {
            assert_eq!(Bench::new().packet(ROUTER, 255, &whole[..length]), None, "{length}");
        }
    }

    "RFC 4861, 6.1.2" "an option of length 0, or one that does not fit, spoils the whole"
    options_have_a_length {
        for options in [&[25, 0, 0, 0, 0, 0, 0, 0][..], &[25, 2, 0, 0, 0, 0, 0, 0], &[25]] {
            let options = [&rdnss(60, &[SERVER]), options].concat();
            assert_eq!(Bench::new().packet(ROUTER, 255, &packet(0, 1800, &options)), None);
        }
    }

    "RFC 4861, 4.2, 6.1.2, 9; RFC 5175" "unknown options, reserved bits and further flags are ignored"
    what_is_unknown_is_ignored {
        let strange = [option(200, &[7; 30]), option(26, &[0; 6]), rdnss(60, &[SERVER]), option(38, &[1; 14])].concat();
        let bench = Bench::told(0x3f, 1800, &strange);
        assert_eq!(bench.servers(), [SERVER]);
        assert!(!bench.router().managed && !bench.router().other);
    }

    "RFC 4861, 4.2, 6.3.4" "M and O say whether there is DHCPv6, each router for itself and by its last advertisement"
    the_flags {
        let mut bench = Bench::new();
        for (flags, expected) in [(MANAGED | OTHER, (true, true)), (MANAGED, (true, false)), (OTHER, (false, true)), (0, (false, false))] {
            bench.now += Duration::from_secs(2);
            assert_eq!(bench.hear(flags, 1800, &[]), [RaOutput::Changed]);
            assert_eq!((bench.router().managed, bench.router().other), expected);
        }
        bench.now += Duration::from_secs(2);
        bench.hear_from(OTHER_ROUTER, MANAGED, 1800, &[]);
        let managed: Vec<bool> = bench.solicitor.routers().iter().map(|router| router.managed).collect();
        assert_eq!(managed, [false, true]);
    }

    "RFC 4861, 4.2, 6.3.4" "a router of lifetime 0 is no default router, and everything else that it says counts"
    lifetime_0 {
        let bench = Bench::told(MANAGED, 0, &[rdnss(60, &[SERVER]), prefix(NET, ON_LINK_AND_AUTONOMOUS, 60)].concat());
        assert_eq!((bench.router().default_until, bench.router().managed), (0, true));
        assert_eq!((bench.servers(), bench.nets()), (vec![SERVER.to_owned()], vec![NET.to_owned()]));
        let mut bench = Bench::told(0, 1800, &[]);
        assert_eq!(bench.router().default_until, 1_800_000);
        bench.now = at(5000);
        assert_eq!(bench.hear(0, 0, &[]), [RaOutput::Changed]);
        assert_eq!(bench.router().default_until, 0, "it has ceased to be one");
    }

    "RFC 4861, 6.3.4" "what an advertisement leaves out stays as the one before said"
    what_is_left_out_stays {
        let mut bench = Bench::told(0, 1800, &[rdnss(600, &[SERVER]), dnssl(600, b"\x01x\0"), prefix(NET, 0xc0, 600)].concat());
        bench.now = at(300_000);
        bench.hear(0, 1800, &[]);
        assert_eq!((bench.servers().len(), bench.search().len(), bench.nets().len()), (1, 1, 1));
    }

    "RFC 4861, 6.3.7" "the first solicitation waits for up to a second, by chance"
    the_first_solicitation_is_delayed {
        let mut delays = std::collections::BTreeSet::new();
        for random in 0..20 {
            let mut bench = Bench { solicitor: Solicitor::new(Vec::new(), at(0)), now: at(0), random };
            bench.event(RaEvent::Carrier(true));
            assert_eq!(bench.next(), [RaOutput::Solicit]);
            assert!(bench.now <= at(1000));
            delays.insert(bench.now);
        }
        assert!(delays.len() > 10, "{delays:?}");
    }

    "RFC 4861, 4.1" "a solicitation has the link's hardware address, and none without one"
    a_solicitation {
        let mac: MacAddr = "02:00:00:00:00:07".parse().unwrap();
        assert_eq!(solicitation(Some(mac)), [133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 7]);
        assert_eq!(solicitation(None), [133, 0, 0, 0, 0, 0, 0, 0]);
    }

    "RFC 7559, 2" "solicitations go on for ever, after 4 s and then twice as long each time up to an hour, randomised by a tenth"
    solicitations_back_off {
        let mut bench = Bench::new();
        bench.solicitation();
        let mut last = bench.solicitation();
        assert!((3.6..=4.4).contains(&last), "{last}");
        for _ in 0..20 {
            let wait = bench.solicitation();
            let doubled = (last * 1.9 - 0.01..=last * 2.1 + 0.01).contains(&wait);
            assert!(doubled || last * 2.1 >= 3600.0 && (3240.0..=3960.0).contains(&wait), "{last}, {wait}");
            last = wait;
        }
        assert_eq!((bench.solicitor.state(), bench.solicitor.unanswered()), ("SOLICITING", 22));
    }

    "RFC 4861, 6.3.7" "an advertisement of a default router ends them, heard before the first one, too"
    a_default_router_ends_them {
        for solicited in [true, false] {
            let mut bench = Bench::new();
            if solicited {
                bench.solicitation();
            }
            bench.hear(0, 1800, &[]);
            assert_eq!((bench.solicitor.state(), bench.solicitor.unanswered()), ("HEARD", 0));
            assert_eq!(bench.solicitor.deadline(), Some(bench.now + Duration::from_secs(1800)));
        }
    }

    "RFC 7559, 2.1" "one of a router that is no default router does not"
    another_router_does_not_end_them {
        let mut bench = Bench::new();
        bench.solicitation();
        bench.hear(0, 0, &rdnss(u32::MAX, &[SERVER]));
        assert_eq!((bench.solicitor.state(), bench.solicitor.unanswered()), ("SOLICITING", 0));
        assert!((3.6..=4.4).contains(&bench.solicitation()), "the back-off goes on");
        bench.hear_from(OTHER_ROUTER, 0, 1800, &[]);
        assert_eq!(bench.solicitor.state(), "HEARD");
    }

    "RFC 4861, 6.3.7" "carrier that returns has routers solicited anew; what they said holds meanwhile"
    carrier_that_returns {
        let mut bench = Bench::told(MANAGED, 1800, &rdnss(600, &[SERVER]));
        bench.event(RaEvent::Carrier(false));
        assert_eq!((bench.solicitor.state(), bench.servers().len()), ("DOWN", 1));
        bench.now = at(5000);
        bench.event(RaEvent::Carrier(true));
        assert!(bench.solicitation() <= 1.0);
        assert_eq!(bench.servers().len(), 1);
    }

    "RFC 4861, 4.6.2, 6.3.4" "a prefix is advertised for its valid lifetime; 0 takes it back, 0xffffffff is for ever"
    prefixes_last_as_advertised {
        lasts_as_advertised(|valid| prefix(NET, ON_LINK_AND_AUTONOMOUS, valid), |bench| bench.router().gives_addresses(bench.now));
    }

    "RFC 4861, 4.6.2, 6.3.4" "the link-local prefix, a group's and one of more than 128 bits are ignored"
    prefixes_that_are_none {
        let mut long = prefix(NET, 0xc0, 60);
        long[2] = 129;
        let wrong = [prefix("fe80::/64", 0xc0, 60), prefix("ff00::/8", 0xc0, 60), long, option(3, &[64, 0xc0])];
        let bench = Bench::told(0, 1800, &[wrong.concat(), prefix(NET, 0xc0, 60)].concat());
        assert_eq!(bench.nets(), [NET]);
    }

    "RFC 4862, 5.5.3" "machines make addresses of a prefix of 64 bits with the A flag whose preferred lifetime is not the longer one"
    prefixes_that_give_addresses {
        let gives = |option: Vec<u8>| {
            let bench = Bench::told(0, 1800, &option);
            bench.router().gives_addresses(bench.now)
        };
        assert!(gives(prefix(NET, 0x40, 60)) && gives(prefix_for(NET, 0x40, 60, 0)));
        assert!(!gives(prefix(NET, 0x80, 60)), "L alone");
        assert!(!gives(prefix("2001:db8:1::/56", 0xc0, 60)) && !gives(prefix("2001:db8:1::/80", 0xc0, 60)));
        assert!(!gives(prefix_for(NET, 0xc0, 60, 61)));
    }

    "RFC 8106, 5.1, 5.3.1" "a name server is used for its lifetime; 0 takes it back, 0xffffffff is for ever"
    name_servers_last_as_advertised {
        lasts_as_advertised(|lifetime| rdnss(lifetime, &[SERVER]), |bench| !bench.servers().is_empty());
    }

    "RFC 8106, 5.2, 5.3.1" "a search domain, too"
    search_domains_last_as_advertised {
        lasts_as_advertised(|lifetime| dnssl(lifetime, b"\x01x\0"), |bench| !bench.search().is_empty());
    }

    "RFC 8106, 5.1, 5.3.1" "an option that has no whole addresses is invalid; one may have several, and there may be several"
    the_length_of_name_servers {
        let three = rdnss(60, &["2001:db8::1", "2001:db8::2", "fe80::3"]);
        let mut cut = rdnss(60, &["2001:db8::4", "2001:db8::5"]);
        cut.truncate(32);
        cut[1] = 4;
        let options = [three, rdnss(60, &[]), cut, rdnss(60, &["2001:db8::6"])].concat();
        let bench = Bench::told(0, 1800, &options);
        assert_eq!(bench.servers(), ["2001:db8::1", "2001:db8::2", "fe80::3", "2001:db8::6"]);
    }

    "RFC 8106, 5.2, 7" "names are whole labels, padded with zeroes; those that no host can have are left out"
    the_names_of_search_domains {
        let names = [dnssl(60, b"\x07example\x03org\0\x01x\0"), dnssl(60, b"\x04a\x1b[m\0"), dnssl(60, b"\x3fexample")].concat();
        assert_eq!(Bench::told(0, 1800, &names).search(), ["example.org", "x"]);
    }

    "RFC 8106, 5.3.1, 6.1" "each router's name servers are its own: another's advertisement takes none of them back"
    name_servers_of_several_routers {
        let mut bench = Bench::told(0, 1800, &rdnss(600, &[SERVER]));
        bench.now = at(2000);
        bench.hear_from(OTHER_ROUTER, 0, 1800, &rdnss(0, &[SERVER]));
        assert_eq!(bench.servers(), [SERVER]);
        bench.hear_from(OTHER_ROUTER, 0, 1800, &rdnss(600, &["2001:db8::54"]));
        assert_eq!(bench.servers(), [SERVER, "2001:db8::54"]);
    }

    "RFC 4191, 2.3" "routes are read, except those of a reserved preference or of a prefix that does not fit"
    routes_are_read {
        let mut short = route("2001:db8:2::/48", 0, 60);
        short[2] = 65;
        let options = [route("2001:db8::/32", 8, 600), route("::/0", 0x18, 60), route("2001:db8:3::/48", 0x10, 60), short].concat();
        let read = Advertisement::read(ROUTER, 255, &packet(0, 1800, &options)).unwrap();
        assert_eq!(read.routes, [("2001:db8::/32".parse().unwrap(), 600), ("::/0".parse().unwrap(), 60)]);
    }

    "RFC 4861, 6.2.1, 6.3.4" "a router is remembered as long as the longest thing that it says, half an hour at least; then routers are solicited again"
    a_router_is_forgotten {
        for (lifetime, servers, until) in [(0, 60, 1800), (60, 60, 1800), (9000, 60, 9000), (60, 7200, 7200)] {
            let mut bench = Bench::told(0, lifetime, &rdnss(servers, &[SERVER]));
            bench.now = at(until * 1000 - 1);
            bench.event(RaEvent::Timer);
            assert_eq!(bench.solicitor.routers().len(), 1, "{until}");
            bench.now = at(until * 1000);
            bench.event(RaEvent::Timer);
            assert_eq!((bench.solicitor.routers(), bench.solicitor.state()), (&[][..], "SOLICITING"));
        }
    }

    "netapply" "a link that cannot send yet tries again soon, ten times; then as if nobody had answered"
    a_link_that_cannot_send {
        let mut bench = Bench::new();
        bench.solicitation();
        for _ in 0..MOST_UNSENT {
            assert_eq!(bench.event(RaEvent::Unsent), []);
            assert_eq!(bench.solicitor.unanswered(), 0);
            assert!((bench.solicitation() - NOT_READY.as_secs_f64()).abs() < 0.001);
        }
        bench.event(RaEvent::Unsent);
        assert!((3.6..=4.4).contains(&bench.solicitation()));
        bench.event(RaEvent::Unsent);
        assert!(bench.solicitation() > 6.0);
        assert_eq!(bench.solicitor.unanswered(), 1);
        bench.event(RaEvent::Carrier(false));
        bench.event(RaEvent::Carrier(true));
        bench.solicitation();
        bench.event(RaEvent::Unsent);
        assert!(bench.solicitation() < 1.0, "anew with the carrier");
    }

    "netapply" "what is advertised again before half of its time is over is no news, and later is the same for longer"
    the_same_again {
        let mut bench = Bench::told(0, 1800, &rdnss(60, &[SERVER]));
        bench.now = at(20_000);
        assert_eq!(bench.hear(0, 1800, &rdnss(60, &[SERVER])), []);
        bench.now = at(40_000);
        assert_eq!(bench.hear(0, 1800, &rdnss(60, &[SERVER])), [RaOutput::Prolonged]);
    }

    "netapply" "what was remembered by an earlier program holds until its end"
    what_was_remembered {
        let kept = Bench::told(0, 1800, &rdnss(600, &[SERVER])).solicitor.routers().to_vec();
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Router>>(&text).unwrap(), kept);
        assert_eq!(Solicitor::new(kept.clone(), at(6000)).routers(), kept);
        assert_eq!(Solicitor::new(kept, at(9_000_000)).routers(), []);
    }

    "netapply" "a flood is told once a second, and costs a bounded amount of memory"
    a_flood_is_bounded {
        let mut bench = Bench::new();
        let mut told = 0;
        for number in 0..10_000_u64 {
            bench.now = at(number);
            let address = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number as u16);
            let server = format!("2001:db8::{:x}", number % 0xffff);
            let options = [rdnss(600, &[&server]), prefix(NET, 0xc0, 60)].concat();
            told += bench.hear_from(address, 0, 0, &options).len();
        }
        assert!(told <= 11, "{told}");
        assert_eq!(bench.solicitor.routers().len(), MOST);
    }
}
