use super::*;

fn known() -> Vec<String> {
    [
        "http",
        "http.bind",
        "ports",
        "tls",
        "tls.cert",
        "tls.key",
        "workers",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
fn the_nearest_is_found_where_there_is_one() {
    for (wrong, expected) in [
        ("wrokers", Some("workers")),
        ("Workers", Some("workers")),
        ("http_bind", Some("http.bind")),
        ("http-bind", Some("http.bind")),
        ("bind", Some("http.bind")),
        ("tls.crt", Some("tls.cert")),
        ("ssl.key", Some("tls.key")),
        ("tl", Some("tls")),
        ("http.port", None),
        ("zebra", None),
    ] {
        assert_eq!(nearest(wrong, &known()), expected, "{wrong}");
    }
}

#[test]
fn of_equally_near_keys_the_one_that_is_nearer_as_a_whole_is_meant() {
    let known = ["grpc_bind", "http_bind"].map(str::to_owned);
    assert_eq!(nearest("htp_bind", &known), Some("http_bind"));
}

#[test]
fn a_tables_keys_stand_beside_a_wrong_one() {
    assert_eq!(beside("http.port", &known()), ["http.bind"]);
    assert_eq!(beside("zebra", &known()).len(), known().len());
    assert_eq!(beside("no.zebra", &known()).len(), known().len());
}
