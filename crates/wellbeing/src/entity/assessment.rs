//! Assessments that are filled in.

use super::data::{Reader, Writer};
use super::record::record;
use super::{AssessmentStatus, AssessmentType, Extra, Metadata, Severity};
use crate::{AssessmentEntryId, Invalid, Timestamp};

/// An assessment that was filled in, or is being.
///
/// | field | rule |
/// | --- | --- |
/// | `assessment_type` | 1-10 letters and digits; read with hyphens, spaces and underscores: `PHQ-9` is `PHQ9` |
/// | `score` | the range of its [`Instrument`](crate::Instrument); any whole number of 32 bits of another assessment. Never recomputed |
/// | `severity` | the band of the score; up to 50 characters of another assessment. `unknown` in drafts only |
/// | `status` | `draft` or `completed`, which is meant where it is missing |
/// | `responses` (`answers`) | as many as there are questions, each in its range; -1, not answered, in drafts only; of another assessment, up to 1,000 whole numbers |
/// | `taken_at` | a time |
/// | `notes` (`note`) | up to 10,000 characters, none of control but `\n`, `\r`, `\t` |
///
/// Only a draft may lack `score` or `severity`. The first five go as one when two devices edit.
#[derive(Clone, PartialEq)]
pub struct AssessmentEntry {
    /// Its id.
    pub id: AssessmentEntryId,
    /// Which it is.
    pub assessment_type: AssessmentType,
    /// Its result; a draft may lack it.
    pub score: Option<i32>,
    /// What the result means; a draft may lack it.
    pub severity: Option<Severity>,
    /// How far it is.
    pub status: AssessmentStatus,
    /// The answers, in the order of the questions; -1 for none.
    pub responses: Option<Vec<i32>>,
    /// When it was filled in.
    pub taken_at: Timestamp,
    /// What the person added.
    pub notes: Option<String>,
    /// When the record was made and last written.
    pub metadata: Metadata,
    /// What this version does not know.
    pub extra: Extra,
}

record!(AssessmentEntry, AssessmentEntryId);

impl AssessmentEntry {
    /// One that was completed at `taken_at`. Its severity is that of the score, where the assessment is known.
    #[must_use]
    pub fn new(id: AssessmentEntryId, assessment_type: AssessmentType, score: i32, taken_at: Timestamp) -> Self {
        let severity = assessment_type.instrument().and_then(|known| Severity::of(known, score.into()));
        Self {
            score: Some(score),
            severity,
            status: AssessmentStatus::Completed,
            ..Self::draft(id, assessment_type, taken_at)
        }
    }

    /// One that was begun at `taken_at`.
    #[must_use]
    pub fn draft(id: AssessmentEntryId, assessment_type: AssessmentType, taken_at: Timestamp) -> Self {
        Self {
            id,
            assessment_type,
            score: None,
            severity: None,
            status: AssessmentStatus::Draft,
            responses: None,
            taken_at,
            notes: None,
            metadata: Metadata::new(taken_at),
            extra: Extra::default(),
        }
    }

    fn read(id: AssessmentEntryId, from: &Reader<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            id,
            assessment_type: from.parsed("assessment_type")?,
            score: from.optional("score"),
            severity: from.optional::<String>("severity").as_deref().map(Severity::from),
            status: from.parsed("status")?,
            responses: from.optional("responses"),
            taken_at: from.required("taken_at")?,
            notes: from.optional("notes"),
            metadata: from.metadata(),
            extra: from.extra(),
        })
    }

    fn write(&self, out: &mut Writer) {
        out.field("assessment_type", self.assessment_type.as_str());
        out.optional("score", self.score);
        out.optional("severity", self.severity.as_ref().map(Severity::as_str));
        out.field("status", self.status.as_str());
        out.optional("responses", self.responses.as_ref());
        out.field("taken_at", self.taken_at);
        out.optional("notes", self.notes.as_ref());
    }
}
