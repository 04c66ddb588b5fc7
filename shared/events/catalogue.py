"""Closed lists of the vocabulary: sites, sides, gates, red flags, tests and what each test reports.

A value outside a list is a fault of form. Lists grow, they never shrink: history holds their words for ever.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

Tissue = Literal["bone", "tendon", "muscle", "ligament", "joint", "postpartum", "other"]
Side = Literal["left", "right", "bilateral", "midline"]

Site = Literal[
    "knee",
    "tibia",
    "tibia_posteromedial",
    "tibia_anterior",
    "tibial_plateau",
    "medial_malleolus",
    "shin",
    "fibula",
    "femoral_neck",
    "femoral_shaft",
    "thigh",
    "hip",
    "hip_flexor",
    "groin",
    "adductor",
    "gluteal",
    "gluteus_medius",
    "piriformis",
    "pelvis",
    "pubic_symphysis",
    "pubic_ramus",
    "sacrum",
    "sacroiliac",
    "lower_back",
    "pelvic_floor",
    "abdominal_wall",
    "navicular",
    "talus",
    "cuboid",
    "cuneiform",
    "metatarsal",
    "metatarsal_fifth",
    "sesamoid",
    "calcaneus",
    "forefoot",
    "midfoot",
    "heel",
    "toe",
    "foot",
    "plantar_fascia",
    "ankle",
    "ankle_lateral",
    "ankle_syndesmosis",
    "achilles",
    "achilles_midportion",
    "achilles_insertional",
    "tibialis_posterior",
    "tibialis_anterior",
    "peroneal",
    "calf",
    "gastrocnemius",
    "soleus",
    "hamstring",
    "hamstring_proximal",
    "quadriceps",
    "quadriceps_tendon",
    "patella",
    "patellar_tendon",
    "patellofemoral",
    "meniscus",
    "acl",
    "mcl",
    "itb",
    "other",
]

Gate = Literal[
    "imaging_healing",
    "physician_clearance",
    "surgeon_clearance",
    "physiotherapist_clearance",
    "red_flag_review",
    "contributing_factors",
    "reds_screen",
    "pelvic_health_review",
    "return_to_competition",
    "risk_classification",
    "strength_programme",
    "gait_review",
    "footwear_review",
    "nutrition_review",
    "bone_health_review",
    "cardiac_clearance",
    "vascular_review",
    "wound_review",
    "postpartum_check",
    "minor_review",
    "load_review",
    "engine_review",
    "specialist_clearance",
]

Flag = Literal[
    "night_pain",
    "rest_pain",
    "focal_bone_tenderness",
    "cannot_bear_weight",
    "sudden_pop",
    "numbness_or_tingling",
    "calf_swelling_or_warmth",
    "chest_pain_or_syncope",
    "fever_or_systemic",
    "locking_or_giving_way",
    "groin_pain_on_loading",
    "pelvic_heaviness_or_leakage",
    "bladder_or_bowel_change",
    "saddle_numbness",
    "foot_drop",
    "pain_out_of_proportion",
    "breathlessness",
    "wound_problem",
    "postpartum_bleeding",
]

Test = Literal[
    "walk_30_min",
    "single_leg_hop",
    "hop_in_place",
    "single_leg_squat",
    "quadriceps_strength",
    "hamstring_strength",
    "knee_flexion_rom",
    "knee_extension_full",
    "ankle_dorsiflexion_knee_to_wall",
    "heel_raises",
    "countermovement_jump",
    "cmj_eccentric_impulse",
    "landing_force_asymmetry",
    "leg_stiffness",
    "bone_tenderness_absent",
    "technique_review",
    "pelvic_floor_screen",
    "hop_30_ft",
    "pogo_hops",
    "jog_on_spot",
    "bounds",
    "single_leg_stance",
    "single_leg_bridge",
    "sit_to_stand",
    "side_leg_raise",
    "active_knee_extension",
    "ikdc",
    "visa_a",
    "triple_hop",
    "crossover_hop",
    "y_balance",
    "calf_strength",
    "hip_abductor_strength",
    "hip_adductor_strength",
    "jump_squat",
]

SITES: tuple[str, ...] = get_args(Site)
SIDES: tuple[str, ...] = get_args(Side)
TISSUES: tuple[str, ...] = get_args(Tissue)
GATES: tuple[str, ...] = get_args(Gate)
FLAGS: tuple[str, ...] = get_args(Flag)
TESTS: tuple[str, ...] = get_args(Test)


@dataclass(frozen=True, slots=True)
class Measure:
    """What the `value` of a test is: its unit (`count`, `cm`, `%`, `kN/m`, `points`, `s`) and its range, both ends included."""

    unit: str
    low: float
    high: float


# Tests that are not listed report `passed`, `lsi_pct` or `pain_nrs`; should they carry a value, its unit is the sender's word.
MEASURES: MappingProxyType[str, Measure] = MappingProxyType(
    {
        "hop_in_place": Measure("count", 0, 1000),
        "heel_raises": Measure("count", 0, 1000),
        "pogo_hops": Measure("count", 0, 1000),
        "bounds": Measure("count", 0, 1000),
        "single_leg_bridge": Measure("count", 0, 1000),
        "sit_to_stand": Measure("count", 0, 1000),
        "side_leg_raise": Measure("count", 0, 1000),
        "jump_squat": Measure("count", 0, 1000),
        "ankle_dorsiflexion_knee_to_wall": Measure("cm", 0, 40),
        "countermovement_jump": Measure("cm", 0, 150),
        "landing_force_asymmetry": Measure("%", 0, 100),
        "leg_stiffness": Measure("kN/m", 0, 100),
        "ikdc": Measure("points", 0, 100),
        "visa_a": Measure("points", 0, 100),
    }
)

# Range of the score of each readiness scale, as its authors score it: ACL-RSI 0-100, I-PRRS six items 0-100 divided by ten, TSK-11 11-44.
READINESS: MappingProxyType[str, tuple[float, float]] = MappingProxyType({"acl_rsi": (0, 100), "i_prrs": (0, 60), "tsk_11": (11, 44)})
