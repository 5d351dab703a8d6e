use super::*;

fn facts<'a>(addresses: &'a [(IpAddr, u8)], gateways: &'a [IpAddr]) -> Facts<'a> {
    Facts {
        hostname: "web",
        network: Some("<lab>\"&"),
        addresses,
        gateways,
        dns: &[],
        mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56],
        dhcp: false,
        memory: 16 << 20,
        kernel: 1 << 20,
        uptime_micros: 1_234_567,
        requests: 7,
    }
}

fn written(resource: Resource) -> String {
    let addresses = [([10, 0, 0, 5].into(), 24), ("fd00::5".parse().unwrap(), 64)];
    let mut text = String::new();
    resource
        .write(&facts(&addresses, &[[10, 0, 0, 1].into()]), &mut text)
        .unwrap();
    text
}

fn find(method: Method, path: &str) -> Resource {
    Resource::find(&Request {
        method,
        path,
        keep_alive: true,
    })
}

#[test]
fn each_path_has_its_resource_and_the_rest_none() {
    assert_eq!(find(Method::Get, "/"), Resource::Page);
    assert_eq!(find(Method::Head, "/json"), Resource::Json);
    assert_eq!(find(Method::Get, "/healthz"), Resource::Health);
    assert_eq!(
        find(Method::Get, "/favicon.ico"),
        Resource::Refusal(Status::NotFound)
    );
    assert_eq!(
        find(Method::Other, "/"),
        Resource::Refusal(Status::MethodNotAllowed)
    );
}

#[test]
fn the_page_says_who_and_where_and_asks_nobody_else() {
    let page = written(Resource::Page);
    for part in [
        "<h1>web</h1>",
        "10.0.0.5/24",
        "fd00::5/64",
        "&lt;lab&gt;&quot;&amp;",
        "1.2 s",
        "16 MiB",
        "Rhyzome",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "{page}"
    );
    assert!(!page.contains("<script"), "{page}");
}

#[test]
fn the_longest_page_fits() {
    let long = "&".repeat(63);
    let address = "1111:1111:1111:1111:1111:1111:1111:1111".parse().unwrap();
    let facts = Facts {
        hostname: &long,
        network: Some(&long),
        addresses: &[(address, 128); 4],
        gateways: &[address; 2],
        dns: &[address; 4],
        mac: [255; 6],
        dhcp: false,
        memory: u64::MAX / 16,
        kernel: u64::MAX / 16,
        uptime_micros: u64::MAX,
        requests: u64::MAX,
    };
    let mut text = crate::text::Text::<LONGEST>::new();
    for resource in [Resource::Page, Resource::Json] {
        text.clear();
        assert_eq!(resource.write(&facts, &mut text), Ok(()));
    }
}

#[test]
fn the_json_is_json() {
    assert_eq!(
        written(Resource::Json),
        "{\"hostname\":\"web\",\"network\":\"<lab>\\\"&\",\"addresses\":[\"10.0.0.5/24\",\"fd00::5/64\"],\
         \"gateways\":[\"10.0.0.1\"],\"dns\":[],\"dhcp\":false,\"mac\":\"52:54:00:12:34:56\",\
         \"memory_bytes\":16777216,\"kernel_bytes\":1048576,\"uptime_ms\":1234,\"requests\":7}\n"
    );
}

#[test]
fn a_refusal_says_its_status() {
    assert_eq!(
        written(Resource::Refusal(Status::NotFound)),
        "404 Not Found\n"
    );
    assert_eq!(
        Resource::Refusal(Status::NotFound).status(),
        Status::NotFound
    );
    assert_eq!(written(Resource::Health), "ok\n");
}

#[test]
fn sizes_and_times_are_in_the_units_that_people_use() {
    let size = |bytes, expect: &str| assert_eq!(Size(bytes).to_string(), expect);
    size(0, "0 KiB");
    size(900 << 10, "900 KiB");
    size((1 << 20) + 800_000, "1.8 MiB");
    size((16 << 20) - 3000, "16 MiB");
    let time =
        |seconds: u64, expect: &str| assert_eq!(Duration(seconds * 1_000_000).to_string(), expect);
    assert_eq!(Duration(12_345).to_string(), "12 ms");
    time(59, "59.0 s");
    time(61, "1 min 1 s");
    time(3_700, "1 h 1 min");
    time(90_000, "1 d 1 h");
}
