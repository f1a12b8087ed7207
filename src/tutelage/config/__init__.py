"""The schema of `tutelage.yaml`, and its reading. An unknown key is an error that names the nearest one."""

from tutelage.config.reading import (
    known_keys,
    load_config,
    parse_config,
    sections_in,
)
from tutelage.config.schema import (
    LONGEST_NAME,
    ColumnsConfig,
    GoldConfig,
    LabellingConfig,
    OverrideConfig,
    ProgrammeConfig,
    ReleaseConfig,
    RightsConfig,
    SourceConfig,
    StudentConfig,
    TaskConfig,
    TrafficConfig,
    TrainingPartConfig,
    label_map,
)
from tutelage.config.section import (
    Section,
)
from tutelage.config.teachers import (
    EMBEDDED_ENCODER,
    EncoderTeacherConfig,
    OpenAITeacherConfig,
    PluginTeacherConfig,
    PriceConfig,
    TeacherConfig,
    TransformersTeacherConfig,
)

__all__ = [
    "EMBEDDED_ENCODER",
    "LONGEST_NAME",
    "ColumnsConfig",
    "EncoderTeacherConfig",
    "GoldConfig",
    "LabellingConfig",
    "OpenAITeacherConfig",
    "OverrideConfig",
    "PluginTeacherConfig",
    "PriceConfig",
    "ProgrammeConfig",
    "ReleaseConfig",
    "RightsConfig",
    "Section",
    "SourceConfig",
    "StudentConfig",
    "TaskConfig",
    "TeacherConfig",
    "TrafficConfig",
    "TrainingPartConfig",
    "TransformersTeacherConfig",
    "known_keys",
    "label_map",
    "load_config",
    "parse_config",
    "sections_in",
]
