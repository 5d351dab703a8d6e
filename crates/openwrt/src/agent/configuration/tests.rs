use super::*;

fn read(text: &str) -> Result<Configuration, String> {
    Configuration::of(Path::new(PATH), text).map_err(|error| error.to_string())
}

fn check(text: &str, expect: &[&str]) {
    let said = read(text).expect_err(text);
    let expect: Vec<String> = expect
        .iter()
        .map(|one| format!("/etc/config/rhyzome, line {one}"))
        .collect();
    assert_eq!(said, expect.join("; "));
}

#[test]
fn what_a_prepared_router_starts_with_is_understood() {
    let text = "config component 'main'\n\toption core 'https://core.example:7443'\n\toption token 'rzj_x'\n\
        \toption name 'gw'\n\toption segmentation 'vlan'\n\nconfig nic 'uplink'\n\toption device 'uplink'\n\
        \toption mac '02:00:00:00:00:01'\n\nconfig nic 'trunk'\n\toption device 'br-lan'\n\tlist ports 'eth1'\n";
    let read = read(text).unwrap();
    assert_eq!(read.core.unwrap().authority(), "core.example:7443");
    assert_eq!(read.token.as_ref().unwrap().reveal(), "rzj_x");
    assert_eq!(format!("{:?}", read.token), "Some(Token(…))");
    assert_eq!(read.name.unwrap().as_str(), "gw");
    assert_eq!(read.segmentation, Some(Segmentation::Vlan));
    assert_eq!(
        read.uplink.unwrap().mac.unwrap().to_string(),
        "02:00:00:00:00:01"
    );
    let trunk = read.trunk.unwrap();
    assert_eq!(
        (trunk.device.as_str(), trunk.ports),
        ("br-lan", vec!["eth1".to_owned()])
    );
}

#[test]
fn every_option_has_a_default() {
    let read = read("config component main\n").unwrap();
    assert_eq!((read.core, read.token, read.trunk), (None, None, None));
    assert_eq!((read.endpoint_ports, read.mtu), ((51820, 52819), 1500));
    assert_eq!((read.uplink_zone.as_str(), read.tunnel_port), ("wan", 4789));
}

#[test]
fn every_option_can_be_written() {
    let text = "config component main\n\toption public_address gw.example.org\n\toption endpoint_ports 6000-6100\n\
        \toption mtu 1400\n\toption uplink_zone outside\n\toption tunnel_address 192.0.2.7\n\
        \toption tunnel_port 8472\n";
    let read = read(text).unwrap();
    assert_eq!(read.public_address.as_deref(), Some("gw.example.org"));
    assert_eq!((read.endpoint_ports, read.mtu), ((6000, 6100), 1400));
    assert_eq!(
        (read.uplink_zone.as_str(), read.tunnel_port),
        ("outside", 8472)
    );
    assert_eq!(read.tunnel_address, Some([192, 0, 2, 7].into()));
}

#[test]
fn all_that_is_wrong_is_said_at_once_with_option_and_line() {
    let text = "config component main\n\toption core http://core:7443\n\toption tokn rzj_x\n\
        \toption segmentation trunk\n\tlist name gw\n\toption mtu 500\n\toption endpoint_ports 9-8\n\
        \toption color blue\nconfig nic uplink\n\toption mac 1:2\nconfig nic trunk\n\
        \toption device a-name-that-is-far-too-long\nconfig nic lan\n\toption device eth0\nconfig component\n";
    check(
        text,
        &[
            "2: option core of component 'main' is not right: \"http://core:7443\" does not begin with https://",
            "3: option tokn of component 'main' is not known; did you mean token?",
            "4: option segmentation of component 'main' is not right: \"trunk\" is no segmentation: vlan, vxlan and \
             port are",
            "5: option name of component 'main' is a list, and has one value",
            "6: option mtu of component 'main' is not right: \"500\" is not between 1360 (what WireGuard needs for \
             IPv6) and 9000",
            "7: option endpoint_ports of component 'main' is not right: \"9-8\" is no range of ports from 1 on, as \
             51820-52819",
            "8: option color of component 'main' is not known; token, core, endpoint_ports, mtu, tunnel_port, name, \
             segmentation, public_address, uplink_zone, tunnel_address are",
            "9: option device of nic 'uplink' is needed: the name of the network device",
            "10: option mac of nic 'uplink' is not right: \"1:2\" is not a unicast Ethernet address like \
             52:54:00:12:34:56",
            "12: option device of nic 'trunk' is not right: \"a-name-that-is-far-too-long\" is no name of a network \
             device: at most 15 characters, no space and no slash",
            "13: nic 'lan' is not known; nic 'uplink', nic 'trunk', component 'main' are",
            "15: component without a name is not known; nic 'uplink', nic 'trunk', component 'main' are",
        ],
    );
}

#[test]
fn a_token_needs_a_core() {
    check(
        "config component main\n\toption token rzj_x\n",
        &["2: option token of component 'main' needs option core, as 'https://core.example:7443'"],
    );
}

#[test]
fn a_file_that_is_not_there_or_no_uci_is_said_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rhyzome");
    let said = Configuration::read(&path).unwrap_err().to_string();
    assert_eq!(said, format!("{} cannot be read", path.display()));
    std::fs::write(&path, "config component 'main\n").unwrap();
    let said = Configuration::read(&path).unwrap_err();
    let source = std::error::Error::source(&said).unwrap().to_string();
    assert_eq!(source, "line 1: the ' that opens here is never closed");
    assert!(said.to_string().starts_with(&path.display().to_string()));
}

#[test]
fn every_option_is_explained() {
    let page = include_str!("../../../../../docs/configuration.md");
    let (path, name) = (Path::new(PATH), "rhyzome".parse().unwrap());
    let text = "config component main\nconfig nic trunk\n\toption device x\n";
    let (package, places) = Package::read_placed(name, text).unwrap();
    let mut options = Options::new(path, &package, &places);
    Configuration::take(&mut options);
    for option in options.known() {
        assert!(page.contains(&format!("\n| `{option}` |")), "{option}");
    }
}
