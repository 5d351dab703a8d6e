//! Which core is meant, out of options, environment and files.

use super::*;

const FILE: &str = "
current = \"home\"
[contexts.home]
url = \"https://home.example\"
token_file = \"TOKEN\"
authority = \"PEM\"
[contexts.work]
url = \"https://work.example\"
project = \"shop\"
";

struct Place {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
    global: Global,
}

impl Place {
    fn new(file: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        private::write(&token, b"rz_home\n").unwrap();
        let text = file.replace("TOKEN", token.to_str().unwrap());
        private::write(&folder.path().join("config.toml"), text.as_bytes()).unwrap();
        Self {
            folder,
            variables: Vec::new(),
            global: Global::default(),
        }
    }

    fn env(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    fn context(mut self, name: &str) -> Self {
        self.global.context = Some(name.to_owned());
        self
    }

    fn check(&self, expect: &str) {
        let env = |name: &str| {
            let found = self.variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.clone())
        };
        let got = match resolve(&self.folder.path().join("config.toml"), &self.global, &env) {
            Ok(target) => format!(
                "{} {} {} {}",
                target.url,
                target.token.as_deref().unwrap_or("-"),
                target.authority.as_deref().unwrap_or("-"),
                target.project
            ),
            Err(e) => {
                let folder = self.folder.path().to_str().unwrap();
                format!("{e} | {}", e.advice().unwrap_or_default()).replace(folder, "FOLDER")
            }
        };
        assert_eq!(got, expect);
    }
}

#[test]
fn without_any_core_it_says_how_to_get_one() {
    Place::new("").check(
        "no core is configured | `rhyzome up` starts a site on this machine; `rhyzome context add NAME \
         --url URL --token-file FILE` uses one that runs elsewhere",
    );
    Place::new("[contexts.a]\nurl = \"https://a\"").check(
        "there are contexts, and none of them is the current one | choose one with `rhyzome context use NAME`",
    );
}

#[test]
fn an_option_comes_before_the_environment_and_that_before_the_current_context() {
    let home = "https://home.example rz_home PEM default";
    let work = "https://work.example - - shop";
    Place::new(FILE).check(home);
    Place::new(FILE).env("RHYZOME_CONTEXT", "work").check(work);
    Place::new(FILE)
        .env("RHYZOME_CONTEXT", "home")
        .context("work")
        .check(work);
    Place::new(FILE)
        .context("work")
        .env("RHYZOME_PROJECT", "lab")
        .check("https://work.example - - lab");
    Place::new(FILE).context("lost").check(
        "there is no context \"lost\" in FOLDER/config.toml | `rhyzome context list` shows those that are there",
    );
}

#[test]
fn a_contexts_token_does_not_go_to_another_url() {
    let url = "https://other.example";
    Place::new(FILE)
        .env("RHYZOME_URL", url)
        .check("https://other.example - - default");
    let both = Place::new(FILE)
        .env("RHYZOME_URL", url)
        .env("RHYZOME_CONTEXT", "home");
    both.check(
        "RHYZOME_CONTEXT and RHYZOME_URL are both set, and only one can be meant | unset one of them, \
         or say `--context NAME`",
    );
    let token = Place::new(FILE)
        .env("RHYZOME_URL", url)
        .env("RHYZOME_TOKEN", "rz_x");
    token.check("https://other.example rz_x - default");
}

#[test]
fn a_wrong_key_in_the_file_is_an_error_that_names_it() {
    let place = Place::new("[contexts.a]\nurl = \"https://a\"\ntokn = \"x\"");
    let error = File::load(&place.folder.path().join("config.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("unknown field `tokn`") && error.contains("line 3"),
        "{error}"
    );
}

#[test]
fn what_is_saved_is_what_is_read() {
    let place = Place::new(FILE);
    let path = place.folder.path().join("config.toml");
    let file = File::load(&path).unwrap();
    assert_eq!(file.contexts.len(), 2);
    file.save(&path).unwrap();
    assert_eq!(File::load(&path).unwrap(), file);
}
