"""A text in both of the tutorial's languages. Pure."""

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["LANGUAGES", "NOTHING", "Language", "Words"]

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


@dataclass(frozen=True, slots=True)
class Words:
    """What is said, in English and in Chinese."""

    en: str
    zh: str

    def __bool__(self) -> bool:
        return bool(self.en)

    def of(self, language: Language) -> str:
        """In one of them."""
        return self.zh if language == "zh" else self.en


NOTHING = Words("", "")
