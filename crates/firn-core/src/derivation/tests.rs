use super::*;

const SIMPLE: &[u8] = br#"Derive([("out","/nix/store/5d2x9hymlmyxvbyyxhgxvpmzv5wqxwpc-a","","")],[],[],"x","/bin/sh",["-c","echo \"hi\"\n"],[("name","a"),("out","/nix/store/5d2x9hymlmyxvbyyxhgxvpmzv5wqxwpc-a")])"#;

#[test]
fn a_text_is_printed_back_byte_for_byte() {
    let drv = Derivation::parse(SIMPLE).unwrap();
    assert_eq!(drv.args[1], b"echo \"hi\"\n");
    assert_eq!(drv.print(), SIMPLE);
}

#[test]
fn every_cut_and_an_appended_byte_are_errors() {
    for cut in 0..SIMPLE.len() {
        assert!(Derivation::parse(&SIMPLE[..cut]).is_err(), "cut at {cut}");
    }
    assert!(Derivation::parse(&[SIMPLE, b"\n"].concat()).is_err());
}

#[test]
fn a_dynamic_derivation_is_read_and_marked() {
    let text = br#"DrvWithVersion("xp-dyn-drv",[("out","","r:sha256","")],[("/nix/store/x.drv",(["out"],[("out",["a"])]))],[],"x","b",[],[])"#;
    let drv = Derivation::parse(text).unwrap();
    assert!(drv.versioned);
    assert_eq!(drv.inputs.len(), 1);
}

#[test]
fn nesting_ten_thousand_deep_is_an_error_not_a_crash() {
    let mut text = br#"DrvWithVersion("xp-dyn-drv",[],[("p",([],"#.to_vec();
    for _ in 0..10_000 {
        text.extend_from_slice(br#"[("o",([],"#);
    }
    assert!(Derivation::parse(&text).is_err());
}

proptest::proptest! {
    #[test]
    fn any_derivation_survives_printing(
        args: Vec<Vec<u8>>,
        env in proptest::collection::vec((proptest::collection::vec(0u8.., 0..9), proptest::collection::vec(0u8.., 0..40)), 0..6),
    ) {
        let drv = Derivation { args, env, ..Derivation::default() };
        assert_eq!(Derivation::parse(&drv.print()).unwrap(), drv);
    }

    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(bytes: Vec<u8>) {
        let _ = Derivation::parse(&[&b"Derive(["[..], &bytes].concat());
    }
}
