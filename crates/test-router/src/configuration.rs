//! The files of `/etc/config` that a router comes with.

/// What OpenWrt's releases do differently, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// 24.10: nothing but taking a WireGuard interface down and up again applies its peers.
    V24_10,
    /// 25.12: `renew` of a WireGuard interface applies its peers.
    V25_12,
}

impl Release {
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::V24_10 => "24.10.8",
            Self::V25_12 => "25.12.5",
        }
    }

    /// `/etc/openwrt_release`.
    pub(crate) fn text(self) -> String {
        let version = self.version();
        format!(
            "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='{version}'\nDISTRIB_REVISION='r0-0000000000'\n\
             DISTRIB_TARGET='x86/64'\nDISTRIB_ARCH='x86_64'\nDISTRIB_DESCRIPTION='OpenWrt {version} r0-0000000000'\n\
             DISTRIB_TAINTS=''\n"
        )
    }
}

/// By package. `eth0` is the LAN's, `eth1` the uplink's; what else there is, is nobody's.
pub(crate) const FILES: [(&str, &str); 4] = [
    ("network", NETWORK),
    ("dhcp", DHCP),
    ("firewall", FIREWALL),
    ("system", SYSTEM),
];

const NETWORK: &str = "
config interface 'loopback'
	option device 'lo'
	option proto 'static'
	option ipaddr '127.0.0.1'
	option netmask '255.0.0.0'

config globals 'globals'
	option ula_prefix 'fd12:3456:789a::/48'

config device
	option name 'br-lan'
	option type 'bridge'
	list ports 'eth0'

config interface 'lan'
	option device 'br-lan'
	option proto 'static'
	option ipaddr '192.168.1.1'
	option netmask '255.255.255.0'

config interface 'wan'
	option device 'eth1'
	option proto 'static'
	option ipaddr '192.0.2.1'
	option netmask '255.255.255.0'
	option gateway '192.0.2.254'
";

const DHCP: &str = "
config dnsmasq
	option domainneeded '1'
	option localise_queries '1'
	option rebind_protection '1'
	option local '/lan/'
	option domain 'lan'
	option expandhosts '1'
	option authoritative '1'
	option readethers '1'
	option leasefile '/tmp/dhcp.leases'
	option localservice '1'

config dhcp 'lan'
	option interface 'lan'
	option start '100'
	option limit '150'
	option leasetime '12h'
	option dhcpv4 'server'

config dhcp 'wan'
	option interface 'wan'
	option ignore '1'
";

const FIREWALL: &str = "
config defaults
	option input 'REJECT'
	option output 'ACCEPT'
	option forward 'REJECT'
	option synflood_protect '1'

config zone
	option name 'lan'
	list network 'lan'
	option input 'ACCEPT'
	option output 'ACCEPT'
	option forward 'ACCEPT'

config zone
	option name 'wan'
	list network 'wan'
	option input 'REJECT'
	option output 'ACCEPT'
	option forward 'REJECT'
	option masq '1'
	option mtu_fix '1'

config forwarding
	option src 'lan'
	option dest 'wan'

config rule
	option name 'Allow-Ping'
	option src 'wan'
	option proto 'icmp'
	option icmp_type 'echo-request'
	option family 'ipv4'
	option target 'ACCEPT'
";

const SYSTEM: &str = "
config system
	option hostname 'OpenWrt'
	option timezone 'UTC'
";
