//! What else the text says of a subject: how many there are, where, and what was done to them.

/// One thing beside category and scene that a caption may say. The order is part of what a seed means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Treatment {
    /// One subject, about in the middle, upright.
    Plain,
    UpsideDown,
    /// The whole picture without colors.
    Grey,
    /// With a white outline, as if cut out of paper.
    Sticker,
    Three,
    Balloon,
    Crown,
    Left,
    Right,
    Top,
    Bottom,
    Small,
    /// Only where a data set asks for several: no prompt of the evaluation says it, and no seed without them draws it.
    Two,
}

impl Treatment {
    /// What a seed draws from.
    pub(crate) const ALL: [Self; 12] = [
        Self::Plain,
        Self::UpsideDown,
        Self::Grey,
        Self::Sticker,
        Self::Three,
        Self::Balloon,
        Self::Crown,
        Self::Left,
        Self::Right,
        Self::Top,
        Self::Bottom,
        Self::Small,
    ];

    /// A name for tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::UpsideDown => "upside down",
            Self::Grey => "grey",
            Self::Sticker => "sticker",
            Self::Three => "three",
            Self::Balloon => "balloon",
            Self::Crown => "crown",
            Self::Left => "left",
            Self::Right => "right",
            Self::Top => "top",
            Self::Bottom => "bottom",
            Self::Small => "small",
            Self::Two => "two",
        }
    }
}
