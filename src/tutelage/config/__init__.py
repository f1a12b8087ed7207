"""The schema of `tutelage.yaml`, and its reading. An unknown key is an error that names the nearest one."""

from tutelage.config.body import BODY_RECIPES, PROMPT_RECIPES, BodyConfig, PruneConfig
from tutelage.config.certify import BoundConfig, CertifyConfig
from tutelage.config.coverage import WORDS, CoverageConfig
from tutelage.config.economics import EconomicsConfig, Range
from tutelage.config.engine import EngineConfig
from tutelage.config.export import ExportConfig
from tutelage.config.gold import CalibrationPartConfig, GoldConfig, GoldPartConfig, TrainingPartConfig
from tutelage.config.judging import JudgingConfig
from tutelage.config.people import PeopleConfig
from tutelage.config.preference import PreferenceConfig
from tutelage.config.privacy import ActionName, PresidioConfig, PrivacyConfig
from tutelage.config.reading import (
    known_keys,
    load_config,
    parse_config,
    sections_below,
    sections_in,
)
from tutelage.config.release import ReleaseConfig
from tutelage.config.retention import SENSITIVITIES, RetentionConfig, Sensitivity
from tutelage.config.rights import OverrideConfig, RightsConfig
from tutelage.config.sampling import SampleConfig, SamplingName
from tutelage.config.schema import (
    ComparisonConfig,
    LabellingConfig,
    LoraConfig,
    ProgrammeConfig,
    PromptingConfig,
    StudentConfig,
)
from tutelage.config.section import Section, environment_name, is_loopback
from tutelage.config.serving import AuditConfig, PromotionConfig, RecogniseConfig, ServingConfig
from tutelage.config.sources import ColumnsConfig, RowsConfig, SourceConfig, located
from tutelage.config.stress import STARTER_SUITE, StressConfig
from tutelage.config.synthesis import SynthesisConfig
from tutelage.config.tasks import (
    LONGEST_NAME,
    ClassifyConfig,
    ExtractConfig,
    FieldConfig,
    GenerateConfig,
    JudgeConfig,
    TaskConfig,
    label_map,
)
from tutelage.config.teachers import (
    EMBEDDED_ENCODER,
    EMBEDDED_WRITER,
    AnthropicTeacherConfig,
    EncoderTeacherConfig,
    EnsembleTeacherConfig,
    HumanTeacherConfig,
    LocalTeacherConfig,
    MemberConfig,
    OpenAITeacherConfig,
    PluginTeacherConfig,
    PriceConfig,
    SoleTeacherConfig,
    TeacherConfig,
    TransformersTeacherConfig,
)
from tutelage.config.tokens import TOKEN_RECIPES, DivergenceName, TokensConfig
from tutelage.config.traffic import TrafficConfig

__all__ = [
    "BODY_RECIPES",
    "EMBEDDED_ENCODER",
    "EMBEDDED_WRITER",
    "LONGEST_NAME",
    "PROMPT_RECIPES",
    "SENSITIVITIES",
    "STARTER_SUITE",
    "TOKEN_RECIPES",
    "WORDS",
    "ActionName",
    "AnthropicTeacherConfig",
    "AuditConfig",
    "BodyConfig",
    "BoundConfig",
    "CalibrationPartConfig",
    "CertifyConfig",
    "ClassifyConfig",
    "ColumnsConfig",
    "ComparisonConfig",
    "CoverageConfig",
    "DivergenceName",
    "EconomicsConfig",
    "EncoderTeacherConfig",
    "EngineConfig",
    "EnsembleTeacherConfig",
    "ExportConfig",
    "ExtractConfig",
    "FieldConfig",
    "GenerateConfig",
    "GoldConfig",
    "GoldPartConfig",
    "HumanTeacherConfig",
    "JudgeConfig",
    "JudgingConfig",
    "LabellingConfig",
    "LocalTeacherConfig",
    "LoraConfig",
    "MemberConfig",
    "OpenAITeacherConfig",
    "OverrideConfig",
    "PeopleConfig",
    "PluginTeacherConfig",
    "PreferenceConfig",
    "PresidioConfig",
    "PriceConfig",
    "PrivacyConfig",
    "ProgrammeConfig",
    "PromotionConfig",
    "PromptingConfig",
    "PruneConfig",
    "Range",
    "RecogniseConfig",
    "ReleaseConfig",
    "RetentionConfig",
    "RightsConfig",
    "RowsConfig",
    "SampleConfig",
    "SamplingName",
    "Section",
    "Sensitivity",
    "ServingConfig",
    "SoleTeacherConfig",
    "SourceConfig",
    "StressConfig",
    "StudentConfig",
    "SynthesisConfig",
    "TaskConfig",
    "TeacherConfig",
    "TokensConfig",
    "TrafficConfig",
    "TrainingPartConfig",
    "TransformersTeacherConfig",
    "environment_name",
    "is_loopback",
    "known_keys",
    "label_map",
    "load_config",
    "located",
    "parse_config",
    "sections_below",
    "sections_in",
]
