//! Which way a terminal can show pictures.
//!
//! Terminals say what they are in environment variables. Asking them needs the keyboard, which is the user's.

use std::ffi::OsString;

/// What a user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// The best that the terminal is known for, else half blocks; nothing where there is no terminal
    Auto,
    /// Kitty's graphics protocol: kitty, Ghostty, WezTerm, Konsole
    Kitty,
    /// ITerm2's inline images: iTerm2, WezTerm, mintty, VS Code
    Iterm2,
    /// Sixel: foot, mlterm, xterm -ti vt340, Windows Terminal
    Sixel,
    /// Half blocks in colour: any terminal with 256 colours
    Blocks,
    /// No pictures
    None,
}

/// How pictures are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Kitty,
    Iterm2,
    Sixel,
    Blocks {
        /// All colours, else 256.
        true_colour: bool,
    },
}

impl Way {
    /// The way for a choice; nothing when no pictures are to be shown. `variable` looks up the environment.
    pub(crate) fn choose(
        choice: Choice,
        is_terminal: bool,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Option<Self> {
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
        let set = |name: &str| !text(name).is_empty();
        let (term, program) = (text("TERM"), text("TERM_PROGRAM"));
        let true_colour = ["truecolor", "24bit"].contains(&text("COLORTERM").as_str())
            || term.ends_with("-direct")
            || ["iTerm.app", "WezTerm", "vscode", "ghostty"].contains(&program.as_str());
        let blocks = Self::Blocks { true_colour };
        match choice {
            Choice::None => None,
            Choice::Kitty => Some(Self::Kitty),
            Choice::Iterm2 => Some(Self::Iterm2),
            Choice::Sixel => Some(Self::Sixel),
            Choice::Blocks => Some(blocks),
            Choice::Auto if !is_terminal || term == "dumb" || set("NO_COLOR") => None,
            // What multiplexers do not know they swallow or spill.
            Choice::Auto if set("TMUX") || term.starts_with("screen") || term.starts_with("tmux") => Some(blocks),
            Choice::Auto if set("KITTY_WINDOW_ID") || term == "xterm-kitty" || term == "xterm-ghostty" => {
                Some(Self::Kitty)
            }
            Choice::Auto if program == "ghostty" || set("KONSOLE_VERSION") => Some(Self::Kitty),
            Choice::Auto if ["iTerm.app", "WezTerm", "mintty"].contains(&program.as_str()) => Some(Self::Iterm2),
            Choice::Auto if text("LC_TERMINAL") == "iTerm2" => Some(Self::Iterm2),
            Choice::Auto if ["foot", "mlterm", "contour", "yaft"].iter().any(|name| term.starts_with(name)) => {
                Some(Self::Sixel)
            }
            Choice::Auto if term.contains("sixel") || set("WT_SESSION") => Some(Self::Sixel),
            Choice::Auto => Some(blocks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_known_by_what_they_say() {
        let few = Some(Way::Blocks { true_colour: false });
        let all = Some(Way::Blocks { true_colour: true });
        let check = |choice, is_terminal, variables: &[(&str, &str)], expected| {
            let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into());
            assert_eq!(Way::choose(choice, is_terminal, variable), expected, "{choice:?} {variables:?}");
        };
        check(Choice::Auto, false, &[("TERM", "xterm-kitty")], None);
        check(Choice::Kitty, false, &[], Some(Way::Kitty));
        check(Choice::None, true, &[("TERM", "xterm-kitty")], None);
        for (variables, expected) in [
            (&[("TERM", "xterm-256color")][..], few),
            (&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")], all),
            (&[("TERM", "xterm-direct")], all),
            (&[("TERM", "dumb")], None),
            (&[("TERM", "xterm"), ("NO_COLOR", "1")], None),
            (&[("TERM", "xterm-kitty")], Some(Way::Kitty)),
            (&[("TERM", "xterm"), ("KITTY_WINDOW_ID", "3")], Some(Way::Kitty)),
            (&[("TERM", "screen-256color"), ("KITTY_WINDOW_ID", "3")], few),
            (&[("TERM", "xterm-kitty"), ("TMUX", "/tmp/tmux")], few),
            (&[("TERM_PROGRAM", "iTerm.app")], Some(Way::Iterm2)),
            (&[("TERM_PROGRAM", "WezTerm")], Some(Way::Iterm2)),
            (&[("TERM", "foot")], Some(Way::Sixel)),
            (&[("TERM", "xterm-sixel")], Some(Way::Sixel)),
            (&[], few),
        ] {
            check(Choice::Auto, true, variables, expected);
        }
    }
}
