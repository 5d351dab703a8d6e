//! What can be made to go wrong on a router, from outside and at any moment.

/// Where the stand-ins see which faults there are: a file of each one's name.
pub const FOLDER: &str = "/standins";

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $file:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// The name of its file.
            pub fn file(self) -> &'static str {
                match self {
                    $(Self::$name => $file,)*
                }
            }
        }
    };
}

faults! {
    /// netifd does nothing of what it is asked to reload, and says that all is well.
    ReloadIgnored = "reload-ignored",
    /// netifd begins to reload two seconds after it said that all is well.
    ReloadLate = "reload-late",
    /// fw4 does nothing when it reloads, and says that all is well.
    FirewallIgnored = "firewall-ignored",
    /// fw4 skips each rule whose section has a name, as those that it does not understand.
    FirewallSkips = "firewall-skips",
    /// dnsmasq's script says that all is well, and leaves the process with what it had.
    DnsmasqIgnored = "dnsmasq-ignored",
    /// dnsmasq ends as soon as it is started.
    DnsmasqCrashes = "dnsmasq-crashes",
    /// There is no ubus.
    NoUbus = "no-ubus",
    /// Calls over ubus are never answered.
    UbusHangs = "ubus-hangs",
    /// `ifup` of a WireGuard interface is not done, and a new one stays pending.
    WireguardFails = "wireguard-fails",
    /// There is no rpcd, as on an image without LuCI.
    NoRpcd = "no-rpcd",
    /// rpcd gives no session access to any configuration.
    NoAcl = "no-acl",
}
