//! Blocks of the pages of the format. Tests of this crate and of others take them in by path.

#![allow(clippy::expect_used, reason = "helpers of tests fail as tests do")]

/// The block that begins with ```` ```NAME ````.
pub(crate) fn block<'a>(page: &'a str, name: &str) -> &'a str {
    let (_, block) = page.split_once(&format!("```{name}\n")).expect("the page has such a block");
    block.split_once("```").expect("the block has an end").0
}

/// Bytes of the block that begins with ```` ```hex NAME ````; what follows a semicolon is a comment.
pub(crate) fn vector(page: &str, name: &str) -> Vec<u8> {
    block(page, &format!("hex {name}"))
        .lines()
        .flat_map(|line| line.split(';').next().unwrap_or_default().split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).expect("two hexadecimal digits"))
        .collect()
}
