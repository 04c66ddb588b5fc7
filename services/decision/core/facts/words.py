"""How tests, gates and flags are called in a sentence. A word that is not listed is its own name with spaces."""

_TESTS = {
    "walk_30_min": "30-minute walk",
    "single_leg_hop": "single-leg hop test",
    "hop_in_place": "hop-in-place test",
    "single_leg_squat": "single-leg squat test",
    "quadriceps_strength": "quadriceps strength test",
    "hamstring_strength": "hamstring strength test",
    "knee_flexion_rom": "knee bending test",
    "knee_extension_full": "knee straightening test",
    "ankle_dorsiflexion_knee_to_wall": "knee-to-wall ankle test",
    "heel_raises": "heel-raise test",
    "countermovement_jump": "countermovement jump",
    "cmj_eccentric_impulse": "eccentric impulse test",
    "landing_force_asymmetry": "landing force test",
    "leg_stiffness": "leg stiffness test",
    "bone_tenderness_absent": "check for bone tenderness",
    "technique_review": "review of running technique",
    "pelvic_floor_screen": "pelvic floor screen",
    "hop_30_ft": "30-foot hop",
    "pogo_hops": "pogo hop test",
    "jog_on_spot": "jog on the spot",
    "bounds": "bounding test",
    "single_leg_stance": "single-leg stance",
    "single_leg_bridge": "single-leg bridge test",
    "sit_to_stand": "sit-to-stand test",
    "side_leg_raise": "side leg raise test",
    "active_knee_extension": "active knee extension test",
    "ikdc": "IKDC knee questionnaire",
    "visa_a": "VISA-A Achilles questionnaire",
    "triple_hop": "triple hop test",
    "crossover_hop": "crossover hop test",
    "y_balance": "Y-balance test",
    "calf_strength": "calf strength test",
    "hip_abductor_strength": "hip abductor strength test",
    "hip_adductor_strength": "hip adductor strength test",
}

_GATES = {
    "imaging_healing": "imaging that shows healing",
    "physician_clearance": "a physician's clearance",
    "surgeon_clearance": "the surgeon's clearance",
    "physiotherapist_clearance": "a physiotherapist's clearance",
    "red_flag_review": "a clinician's review of the red flag",
    "contributing_factors": "the review of contributing factors",
    "reds_screen": "the screen for energy deficiency",
    "pelvic_health_review": "the pelvic health review",
    "return_to_competition": "clearance for competition",
    "risk_classification": "the risk class of the injury",
    "strength_programme": "the strength programme",
    "gait_review": "the gait review",
    "footwear_review": "the footwear review",
    "nutrition_review": "the nutrition review",
    "bone_health_review": "the bone health review",
    "cardiac_clearance": "cardiac clearance",
    "vascular_review": "the vascular review",
    "wound_review": "the wound review",
    "postpartum_check": "the check after the birth",
    "minor_review": "a clinician's review for an athlete under 18",
    "load_review": "the load review",
    "engine_review": "the review of the engines",
    "specialist_clearance": "a specialist's clearance",
}

_FLAGS = {
    "night_pain": "pain at night",
    "rest_pain": "pain at rest",
    "focal_bone_tenderness": "tenderness on one spot of the bone",
    "cannot_bear_weight": "inability to bear weight",
    "sudden_pop": "a sudden pop",
    "numbness_or_tingling": "numbness or tingling",
    "calf_swelling_or_warmth": "a swollen or warm calf",
    "chest_pain_or_syncope": "chest pain or fainting",
    "fever_or_systemic": "fever or feeling ill",
    "locking_or_giving_way": "locking or giving way",
    "groin_pain_on_loading": "groin pain on loading",
    "pelvic_heaviness_or_leakage": "pelvic heaviness or leakage",
    "bladder_or_bowel_change": "a change of bladder or bowel control",
    "saddle_numbness": "numbness around the seat",
    "foot_drop": "foot drop",
    "pain_out_of_proportion": "pain out of proportion",
    "breathlessness": "breathlessness",
    "wound_problem": "a problem with the wound",
    "postpartum_bleeding": "bleeding after the birth",
}


def test_word(test: str) -> str:
    """`the` is left to the sentence: `30-minute walk`."""
    return _TESTS.get(test) or test.replace("_", " ")


def gate_word(gate: str) -> str:
    """With its article: `a physician's clearance`."""
    return _GATES.get(gate) or gate.replace("_", " ")


def flag_word(flag: str) -> str:
    return _FLAGS.get(flag) or flag.replace("_", " ")


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def small(text: str) -> str:
    """For the middle of a sentence; an abbreviation or a step keeps its capitals."""
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text
