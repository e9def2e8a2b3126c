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

/// What [`Derivation::outputs_in`] has to give.
fn outputs(text: &[u8]) -> Option<Vec<[Vec<u8>; 2]>> {
    Some(Derivation::parse(text).ok()?.outputs.into_iter().map(|o| [o.name, o.path]).collect())
}

#[test]
fn outputs_are_those_of_a_text_that_can_be_read_to_its_end() {
    let versioned = br#"DrvWithVersion("xp-dyn-drv",[("out","p","","")],[],[],"x","b",[],[])"#;
    let escaped = br#"Derive([("o\ut","p","","")],[],[],"\"","b\\",[],[("a","\"")])"#;
    let unfinished: [&[u8]; 2] = [br#"Derive([],[],[],"x\\"#, br#"Derive([],[],[],"x","y",[],[("a","b"))"#];
    for text in [SIMPLE, versioned, escaped].into_iter().chain(unfinished) {
        let text = text.to_vec();
        for cut in 0..=text.len() {
            assert_eq!(Derivation::outputs_in(&text[..cut]).ok(), outputs(&text[..cut]), "cut at {cut}");
        }
        let longer = [&text, &b"\n"[..]].concat();
        assert_eq!(Derivation::outputs_in(&longer).ok(), outputs(&longer));
    }
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
        assert_eq!(Derivation::outputs_in(&drv.print()).unwrap().len(), 0);
    }

    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(bytes: Vec<u8>) {
        let _ = Derivation::parse(&[&b"Derive(["[..], &bytes].concat());
    }
}
