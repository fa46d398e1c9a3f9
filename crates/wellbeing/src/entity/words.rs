//! What fields with a fixed set of words say.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::rule::{Rule, word};
use crate::text::quote;
use crate::{Instrument, Invalid};

macro_rules! words {
    ($($(#[$meaning:meta])* $name:ident of $field:literal { $($(#[$sense:meta])* $variant:ident = $word:literal)* })*) => { $(
        $(#[$meaning])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$sense])* $variant,)*
        }

        impl $name {
            /// The word, as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            /// Takes the word in any case, with or without underscores.
            fn from_str(text: &str) -> Result<Self, Invalid> {
                const WORDS: &[&str] = &[$($word),*];
                let word = word(text, WORDS);
                let words = || Invalid::new($field, format!("must be one of {}", WORDS.join(", ")));
                [$(Self::$variant),*].into_iter().find(|known| word == Some(known.as_str())).ok_or_else(words)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )* };
}

words! {
    /// How far an assessment is.
    AssessmentStatus of "status" {
        /// It is being filled in.
        Draft = "draft"
        /// It is filled in.
        Completed = "completed"
    }
    /// How often an assessment is due.
    Frequency of "frequency" {
        /// Each day.
        Daily = "daily"
        /// On one day of each week.
        Weekly = "weekly"
        /// On one day of every other week.
        Biweekly = "biweekly"
        /// On one day of each month, or on its last where it is shorter.
        Monthly = "monthly"
    }
    /// How a goal is measured.
    GoalType of "goal_type" {
        /// By the days of each period on which something was done.
        DaysPerPeriod = "days_per_period"
        /// By how much more was done than in the period before, in percent.
        PercentImprovement = "percent_improvement"
    }
}

/// What a score means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// `minimal`.
    Minimal,
    /// `mild`.
    Mild,
    /// `moderate`.
    Moderate,
    /// `moderately_severe`.
    ModeratelySevere,
    /// `severe`.
    Severe,
    /// `unknown`: of a draft only.
    Unknown,
    /// Of an assessment that is not known, in its own words.
    Other(String),
}

impl Severity {
    const KNOWN: [Self; 6] =
        [Self::Minimal, Self::Mild, Self::Moderate, Self::ModeratelySevere, Self::Severe, Self::Unknown];

    /// The band of `score` in `instrument`; `None` when no answers give that score.
    #[must_use]
    pub fn of(instrument: &Instrument, score: i64) -> Option<Self> {
        instrument.severity(score).map(Self::from)
    }

    /// The word, as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Minimal => "minimal",
            Self::Mild => "mild",
            Self::Moderate => "moderate",
            Self::ModeratelySevere => "moderately_severe",
            Self::Severe => "severe",
            Self::Unknown => "unknown",
            Self::Other(words) => words,
        }
    }
}

impl From<&str> for Severity {
    fn from(text: &str) -> Self {
        let known = word(text, &crate::rule::SEVERITIES);
        let found = Self::KNOWN.into_iter().find(|severity| known == Some(severity.as_str()));
        found.unwrap_or_else(|| Self::Other(text.to_owned()))
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which assessment it is: letters and digits, 10 at most, without a hyphen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AssessmentType(Cow<'static, str>);

impl AssessmentType {
    /// The Patient Health Questionnaire.
    pub const PHQ9: Self = Self(Cow::Borrowed("PHQ9"));
    /// The Generalised Anxiety Disorder scale.
    pub const GAD7: Self = Self(Cow::Borrowed("GAD7"));
    /// The scale of the Center for Epidemiologic Studies for depression.
    pub const CESD: Self = Self(Cow::Borrowed("CESD"));
    /// The Overall Anxiety Severity and Impairment Scale.
    pub const OASIS: Self = Self(Cow::Borrowed("OASIS"));

    /// The code, such as `PHQ9`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is known of it; `None` of one that is not known.
    #[must_use]
    pub fn instrument(&self) -> Option<&'static Instrument> {
        Instrument::of(&self.0)
    }
}

impl FromStr for AssessmentType {
    type Err = Invalid;

    /// Takes `PHQ-9`, `phq9` and `PHQ9` alike.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (mut quoted, mut written) = (String::new(), String::new());
        quote(text, &mut quoted);
        Rule::AssessmentType.write("assessment_type", &quoted, &mut written)?;
        Ok(Self(Cow::Owned(written.trim_matches('"').to_owned())))
    }
}

impl fmt::Display for AssessmentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
