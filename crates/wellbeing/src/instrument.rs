//! The assessments whose questions and scores are known.

/// An assessment with a fixed set of questions.
///
/// | code | items | each | score | bands |
/// | --- | --- | --- | --- | --- |
/// | `PHQ9` | 9 | 0-3 | 0-27 | 0-4 minimal, 5-9 mild, 10-14 moderate, 15-19 moderately severe, 20-27 severe |
/// | `GAD7` | 7 | 0-3 | 0-21 | 0-4 minimal, 5-9 mild, 10-14 moderate, 15-21 severe |
/// | `CESD` | 20 | 0-3 | 0-60 | 0-15 minimal, 16-21 mild, 22-36 moderate, 37-60 severe |
/// | `OASIS` | 5 | 0-4 | 0-20 | 0-7 minimal, 8-14 moderate, 15-20 severe |
///
/// A score is never computed from the answers here: some items of CES-D count the other way round, and apps differ in
/// whether they know. Only its range and its band are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// What it is called: capital letters and digits.
    pub code: &'static str,
    /// Its questions.
    pub item_count: usize,
    /// The greatest answer to a question; the smallest is 0.
    pub item_max: i64,
    /// The greatest score; the smallest is 0.
    pub score_max: i64,
    /// The greatest score of each band, and the band, from the lowest on.
    bands: &'static [(i64, &'static str)],
}

impl Instrument {
    /// Those that are known.
    pub const KNOWN: [Self; 4] = [
        Self {
            code: "PHQ9",
            item_count: 9,
            item_max: 3,
            score_max: 27,
            bands: &[(4, "minimal"), (9, "mild"), (14, "moderate"), (19, "moderately_severe"), (27, "severe")],
        },
        Self {
            code: "GAD7",
            item_count: 7,
            item_max: 3,
            score_max: 21,
            bands: &[(4, "minimal"), (9, "mild"), (14, "moderate"), (21, "severe")],
        },
        Self {
            code: "CESD",
            item_count: 20,
            item_max: 3,
            score_max: 60,
            bands: &[(15, "minimal"), (21, "mild"), (36, "moderate"), (60, "severe")],
        },
        Self {
            code: "OASIS",
            item_count: 5,
            item_max: 4,
            score_max: 20,
            bands: &[(7, "minimal"), (14, "moderate"), (20, "severe")],
        },
    ];

    /// The one that is called `code`, in capital letters and without a hyphen; `None` for another.
    #[must_use]
    pub fn of(code: &str) -> Option<&'static Self> {
        const KNOWN: &[Instrument] = &Instrument::KNOWN;
        KNOWN.iter().find(|known| known.code == code)
    }

    /// The band of `score`, such as `moderately_severe`; `None` when no answers give that score.
    #[must_use]
    pub fn severity(&self, score: i64) -> Option<&'static str> {
        let at_least_zero = score >= 0;
        let band = self.bands.iter().find(|(score_max, _)| score <= *score_max);
        band.filter(|_| at_least_zero).map(|(_, severity)| *severity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_score_has_the_band_of_its_table() {
        let check = |code: &str, expected: &[(i64, i64, &str)]| {
            let instrument = Instrument::of(code).unwrap();
            for (first, last, severity) in expected {
                for score in *first..=*last {
                    assert_eq!(instrument.severity(score), Some(*severity), "{code} {score}");
                }
            }
            assert_eq!(instrument.severity(-1), None, "{code}");
            assert_eq!(instrument.severity(instrument.score_max + 1), None, "{code}");
            assert_eq!(expected.last().unwrap().1, instrument.score_max, "{code}");
            assert_eq!(i64::try_from(instrument.item_count).unwrap() * instrument.item_max, instrument.score_max);
        };
        check(
            "PHQ9",
            &[
                (0, 4, "minimal"),
                (5, 9, "mild"),
                (10, 14, "moderate"),
                (15, 19, "moderately_severe"),
                (20, 27, "severe"),
            ],
        );
        check("GAD7", &[(0, 4, "minimal"), (5, 9, "mild"), (10, 14, "moderate"), (15, 21, "severe")]);
        check("CESD", &[(0, 15, "minimal"), (16, 21, "mild"), (22, 36, "moderate"), (37, 60, "severe")]);
        check("OASIS", &[(0, 7, "minimal"), (8, 14, "moderate"), (15, 20, "severe")]);
        for code in ["", "PHQ-9", "phq9", "PHQ8"] {
            assert_eq!(Instrument::of(code), None, "{code}");
        }
    }
}
