use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::authority::Authority;
use crate::issue::ComponentRequest;

struct Site {
    authority: Authority,
    rng: StdRng,
    now: SystemTime,
}

fn site(seed: u64) -> Site {
    let now = std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let mut rng = StdRng::seed_from_u64(seed);
    Site {
        authority: Authority::make("garden", now, &mut rng).unwrap(),
        rng,
        now,
    }
}

impl Site {
    fn certify(&mut self, key: &NewKey, component_id: &str) -> String {
        let csr = key.request().unwrap();
        let request = ComponentRequest {
            csr: &csr,
            component_id,
            validity: Duration::from_secs(24 * 3600),
        };
        self.authority
            .issue_component(request, self.now, &mut self.rng)
            .unwrap()
            .pem()
    }

    fn join(&mut self, id: &str) -> Identity {
        let key = NewKey::make().unwrap();
        let certificate = self.certify(&key, id);
        let authority = self.authority.certificate_pem();
        Identity::assemble(key, &certificate, &authority, "https://core:9090").unwrap()
    }

    fn renew(&mut self, identity: &Identity) -> Identity {
        let key = NewKey::make().unwrap();
        let certificate = self.certify(&key, identity.component_id());
        let authority = self.authority.certificate_pem();
        identity.renewed(key, &certificate, &authority).unwrap()
    }
}

fn serial(folder: &IdentityFolder) -> String {
    folder.load().unwrap().certificate().serial.clone()
}

#[test]
fn an_identity_is_renewed_at_two_thirds() {
    let mut site = site(1);
    let identity = site.join("host-1");
    assert_eq!(
        identity.renew_at(),
        site.now + Duration::from_secs(16 * 3600)
    );
}

#[test]
fn a_saved_identity_loads_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let folder = IdentityFolder::new(place.path().join("deep/identity"));
    let identity = site(2).join("host-1");
    folder.save(&identity).unwrap();
    let loaded = folder.load().unwrap();
    assert_eq!(loaded.certificate(), identity.certificate());
    assert_eq!(loaded.authorities(), identity.authorities());
    assert_eq!(loaded.core(), "https://core:9090");
    let key = place.path().join("deep/identity/current/key.pem");
    let mode = fs::metadata(key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_folder_nobody_joined_with_says_so() {
    let place = tempfile::tempdir().unwrap();
    let error = IdentityFolder::new(place.path()).load().unwrap_err();
    assert!(matches!(error, IdentityError::NotJoined { .. }));
}

#[test]
fn many_renewals_leave_two_versions() {
    let place = tempfile::tempdir().unwrap();
    let folder = IdentityFolder::new(place.path());
    let mut site = site(3);
    let mut identity = site.join("host-1");
    for _ in 0..4 {
        folder.save(&identity).unwrap();
        assert_eq!(serial(&folder), identity.certificate().serial);
        identity = site.renew(&identity);
    }
    let versions = fs::read_dir(place.path().join("versions")).unwrap();
    assert_eq!(versions.count(), 2);
}

/// Everything a folder holds, as a crash would leave it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path).unwrap(), target).unwrap();
        } else if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Does to a folder what a save had done when it stopped.
type Crash<'a> = &'a dyn Fn(&Path);

#[test]
fn a_crash_at_any_step_of_a_renewal_leaves_a_usable_identity() {
    let place = tempfile::tempdir().unwrap();
    let (before, after) = (place.path().join("before"), place.path().join("after"));
    let mut site = site(4);
    let old = site.join("host-1");
    let new = site.renew(&old);
    IdentityFolder::new(&before).save(&old).unwrap();
    copy(&before, &after);
    IdentityFolder::new(&after).save(&new).unwrap();
    // What saving leaves behind when it stops after each of its steps.
    let steps: [(&str, Crash); 4] = [
        ("an empty new version", &|at| {
            fs::create_dir(at.join("versions/new-2")).unwrap();
        }),
        ("a key without its certificate", &|at| {
            fs::create_dir(at.join("versions/new-2")).unwrap();
            fs::copy(
                after.join("versions/2/key.pem"),
                at.join("versions/new-2/key.pem"),
            )
            .unwrap();
        }),
        ("a whole version, not switched to", &|at| {
            copy(&after.join("versions/2"), &at.join("versions/2"));
        }),
        ("a link, not renamed yet", &|at| {
            copy(&after.join("versions/2"), &at.join("versions/2"));
            std::os::unix::fs::symlink("versions/2", at.join("current.new")).unwrap();
        }),
    ];
    for (index, (step, crash)) in steps.iter().enumerate() {
        let at = place.path().join(format!("crash-{index}"));
        copy(&before, &at);
        crash(&at);
        let folder = IdentityFolder::new(&at);
        assert_eq!(serial(&folder), old.certificate().serial, "{step}");
        folder.save(&new).unwrap();
        assert_eq!(serial(&folder), new.certificate().serial, "{step}");
        let left = fs::read_dir(at.join("versions")).unwrap().count();
        assert_eq!(left, 2, "{step}: nothing of the crash stays");
    }
}

#[test]
fn a_save_that_fails_leaves_the_old_identity() {
    let place = tempfile::tempdir().unwrap();
    let folder = IdentityFolder::new(place.path());
    let mut site = site(5);
    let old = site.join("host-1");
    folder.save(&old).unwrap();
    let new = site.renew(&old);
    // A folder stands where the link is to be made.
    fs::create_dir(place.path().join("current.new")).unwrap();
    let error = folder.save(&new).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("current.new could not be written")
    );
    assert_eq!(serial(&folder), old.certificate().serial);
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let (mut one, mut other) = (site(6), site(7));
    let authority = one.authority.certificate_pem();
    let key = NewKey::make().unwrap();
    let foreign = other.certify(&key, "host-1");
    let error = Identity::assemble(key, &foreign, &authority, "c").unwrap_err();
    assert!(matches!(error, IdentityError::OtherAuthority { .. }));

    let certificate = one.certify(&NewKey::make().unwrap(), "host-1");
    let error =
        Identity::assemble(NewKey::make().unwrap(), &certificate, &authority, "c").unwrap_err();
    assert!(matches!(
        error,
        IdentityError::Credential(CredentialError::KeyMismatch { .. })
    ));

    let identity = one.join("host-1");
    let key = NewKey::make().unwrap();
    let certificate = one.certify(&key, "host-2");
    let error = identity.renewed(key, &certificate, &authority).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the renewed certificate is for component host-2, not for host-1"
    );
}

#[test]
fn a_spoiled_file_is_named() {
    let place = tempfile::tempdir().unwrap();
    let folder = IdentityFolder::new(place.path());
    folder.save(&site(8).join("host-1")).unwrap();
    let record = place.path().join("current/component.json");
    let good = fs::read_to_string(&record).unwrap();
    fs::write(&record, "{").unwrap();
    let error = folder.load().unwrap_err().to_string();
    assert!(error.ends_with("component.json is not a component's record"));
    fs::write(&record, good.replace("host-1", "host-9")).unwrap();
    let error = folder.load().unwrap_err().to_string();
    assert!(error.ends_with("speaks of component host-9, the certificate beside it of host-1"));
    fs::remove_file(place.path().join("current/key.pem")).unwrap();
    let error = folder.load().unwrap_err().to_string();
    assert!(error.ends_with("key.pem could not be read"));
}

#[test]
fn debug_of_an_identity_shows_no_key() {
    let identity = site(9).join("host-1");
    let key = identity.credential().key_pem();
    let secret = key.lines().nth(1).unwrap();
    assert!(!format!("{identity:?}").contains(secret));
}

#[test]
fn a_key_to_join_with_is_kept_until_there_is_an_identity() {
    let place = tempfile::tempdir().unwrap();
    let folder = IdentityFolder::new(place.path().join("identity"));
    let public = |key: &NewKey| crate::issue::key_of(&key.request().unwrap()).unwrap();
    let first = public(&folder.key_to_join().unwrap());
    let path = place.path().join("identity/joining.pem");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let key = folder.key_to_join().unwrap();
    assert_eq!(public(&key), first);
    // It is no identity.
    let error = folder.load().unwrap_err();
    assert!(matches!(error, IdentityError::NotJoined { .. }));

    let mut site = site(10);
    let certificate = site.certify(&key, "host-1");
    let authority = site.authority.certificate_pem();
    let identity = Identity::assemble(key, &certificate, &authority, "https://core:9090").unwrap();
    folder.save(&identity).unwrap();
    assert!(!path.exists());
    assert_eq!(
        folder.load().unwrap().certificate().serial,
        identity.certificate().serial
    );
    assert_ne!(public(&folder.key_to_join().unwrap()), first);
}

#[test]
fn a_key_to_join_with_that_is_none_is_named() {
    let place = tempfile::tempdir().unwrap();
    let folder = IdentityFolder::new(place.path());
    folder.key_to_join().unwrap();
    fs::write(place.path().join("joining.pem"), "half of one").unwrap();
    let Err(error) = folder.key_to_join() else {
        panic!("it is a key")
    };
    assert!(error.to_string().contains("joining.pem"), "{error}");
}
