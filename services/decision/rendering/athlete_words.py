"""What an athlete reads: reasons, requests and emergencies in everyday words."""

import re

CALL = {
    "now": "Call your local emergency number now. Do not drive yourself, do not wait to see if it passes, and do not run.",
    "emergency": (
        "Go to an emergency department now, within {within} at the latest. If it gets worse, your chest hurts or breathing is hard, "
        "call your local emergency number. Do not run."
    ),
    "physician": "See a doctor within {within}. Do not run until your clinician says that you may.",
    "imaging": "See a doctor within {within}; you may need a scan. Do not run until your clinician says that you may.",
    "pelvic_health": "See a pelvic health clinician within {within}. Do not run until your clinician says that you may.",
}
CALL_ALWAYS = "Chest pain, fainting or trouble breathing: call your local emergency number at once."

BECAUSE = {
    "referral.open": "you reported a warning sign that a clinician has to check first",
    "review.rest_or_night_pain": "you reported pain at rest or at night, and your clinician wants to look at it",
    "session.pain_during": "it hurt too much during your run",
    "session.pain_after": "it hurt after your run",
    "session.pain_next_morning": "it hurt the morning after your run",
    "session.pain_higher_during": "it hurt more during your run than before it",
    "session.pain_higher_after": "it hurt more after your run than before it",
    "session.pain_higher_next_morning": "it hurt more the morning after your run than before it",
    "session.rise_next_morning": "it hurt more the morning after your run than before it",
    "session.pain_after_24_h": "it still hurt more than before, a day after your run",
    "session.swelling_after_24_h": "there was still more swelling a day after your run",
    "session.swelling_higher_after": "there was more swelling after your run",
    "session.swelling_higher_next_morning": "there was more swelling the morning after your run",
    "session.stiffness_higher_after": "it was stiffer after your run",
    "session.stiffness_higher_next_morning": "it was stiffer the morning after your run",
    "session.settled_within_60_min": "it took more than an hour to calm down after your run",
    "session.gait_changed": "the way you run changed because of the injury",
    "last.gait_changed": "the way you run changed because of the injury",
    "session.stopped_for_pain": "you had to stop your run because of pain",
    "last.stopped_for_pain": "you had to stop your last session because of pain",
    "session.masked": "you took a painkiller, so we cannot tell how your body coped",
    "session.rpe_over_step": "your run was harder work than planned",
    "session.as_prescribed": "your last run was not done quite as planned",
    "session.above_dose": "you did more than planned, so the same step comes again",
    "session.above_step": "you did more than planned, so the same step comes again",
    "last.above_step": "you did more than planned, so the same step comes again",
    "session.technique_ok": "your running form was not yet good",
    "session.sore_in_warm_up": "it was sore when you warmed up",
    "session.sore_during": "it was sore during your run",
    "session.sore_after": "it was sore after your run",
    "session.sore_an_hour_after": "it was still sore an hour after your run",
    "session.sore_next_day": "it was sore the day after your run",
    "session.speed_over_step": "you ran faster than this step allows",
    "session.terrain": "your last run was hillier than this step allows",
    "session.planned": "your last run was not part of the plan",
    "session.pain_higher_two_days_after": "it hurt more two days after your run than before it",
    "pace.of_usual_pct": "you ran faster than this step allows",
    "load.week_pct": "you did much more this week than the week before",
    "healing.dates_since_pain": "more days without any pain have to pass first",
    "healing.pain_free_dates": "more days without any pain have to pass first",
    "trend.morning_pain": "the mornings after your runs hurt more than the week before",
    "trend.morning_stiffness": "the mornings after your runs were stiffer than the week before",
    "swelling.first_1_after_2": "the swelling has only just gone down",
    "injury.bilateral": "both sides are injured, so your clinician has to test them",
    "injury.bone_before": "you had a bone injury before, so one more check comes first",
    "injury.site": "with this injury your clinician sets what comes next",
    "injury.tissue": "with this injury your clinician sets what comes next",
    "surgery.more_than_reconstruction": "more was done in your operation, so your surgeon has to agree first",
    "surface.first_outdoors": "your last run was the first outdoors, so the same step comes again",
    "surgery.not_cleared": "your surgeon or doctor has to clear running first",
    "surgery.weeks": "more weeks have to pass after your operation",
    "delivery.weeks": "more weeks have to pass after the birth",
    "release.of_next_step": "your clinician has to agree to the next step",
    "pain.now": "it hurts too much at the moment",
    "swelling.now": "there is too much swelling at the moment",
    "daily.worst_of_7": "it hurt too much on one of the last seven days",
    "daily.dates_of_7": "we need to know how you feel on seven days in a row",
    "elsewhere.worst": "something else hurts as well",
    "elsewhere.times": "something else hurts as well",
    "skipped.for_pain": "you skipped a session because of pain",
    "test.failed": "a test did not go well enough",
    "test.pain": "it hurt too much in a test",
    "illness.now": "you are ill",
    "illness.febrile_since_last_run": "you had a fever",
    "sleep.short_nights": "you slept too little",
    "fatigue.now": "you are very tired",
    "step.clean_sessions_short": "you need more good runs at this step before the next one",
    "step.unclean_in_a_row": "your last runs did not go well enough",
    "step.failures": "this step was too much before, so your clinician wants to look at it",
    "rate.room": "your body needs more time before the next step",
    "deload.due": "an easier week is due",
    "break.days": "you have not run for a while",
    "load.spike_pct": "your last run was much longer than your runs before",
    "heart_rate.above_own_median": "your heart was working harder than usual",
    "cadence.off_own_median_pct": "the rhythm of your steps has changed",
    "course.open": "your programme is paused or has ended",
    "protocol.expired": "your programme has to be renewed by your clinician",
    "answer.declined": "your clinician asked you to wait",
    "limit.no_running": "your clinician asked you not to run",
    "limit.passed_by_next_step": "your clinician set a limit for now",
    "injury.bone_risk": "your clinician has to say how risky the bone injury is",
    "athlete.adult_or_reviewed": "a clinician has to look at your plan before you start",
}
"""By fact; what is not listed is told by its family."""

BECAUSE_OF_FAMILY = {
    "pain": "it hurts too much",
    "swelling": "there is too much swelling",
    "stiffness": "it is too stiff",
    "technique": "your running form needs a look",
    "load": "your body needs more time at this step",
    "function": "a strength or movement test is not good enough yet",
    "clearance": "your clinician has not given the go-ahead",
    "readiness": "you do not feel quite ready yet",
    "wellness": "you were ill, tired or short of sleep",
    "flag": "you reported a warning sign that a clinician has to check first",
    "time": "more time has to pass first",
    "standing": "your clinician has to look at your plan first",
    "population": "this programme may not fit your injury; your clinician has to look at it",
}
OTHERWISE = "your clinician has to look at your plan first"

ASKS = {
    "session": "how your next run goes",
    "during": "how it felt during your run, from 0 (no pain) to 10",
    "after": "how it felt after your run, and how long it took to calm down",
    "next_morning": "how it felt the morning after your run: pain, swelling, stiffness",
    "next_day": "how it felt a day after your run",
    "session_record": "what you did in your run, how hard it was, and whether you ran as usual",
    "daily": "your pain and swelling every day",
    "elsewhere": "whether anything else hurts",
    "wellness": "how you slept, and whether you are tired or ill",
    "readiness": "how ready you feel, in the questionnaire",
    "sensor": "the recording of your watch",
    "distance": "how far you ran",
}
"""By report, of those that the athlete makes."""

CLINICIAN_ASKS = {
    "test": "do your strength and movement tests",
    "gate": "give you the go-ahead",
    "technique": "watch you run",
    "red_flag_review": "check the warning sign you reported",
    "bone_risk": "say how risky the bone injury is",
    "minor_review": "look at your plan before you start",
}
"""By kind of report, of those that somebody else makes."""

_EVERYDAY = (
    (r"\beffusion\b", "swelling in the joint"),
    (r"\bRPE\b", "effort"),
    (r"\bNRS\b", "pain score"),
    (r"\bgait\b", "way of running"),
    (r"\bcadence\b", "step rhythm"),
    (r"\bthe involved (limb|leg|knee)\b", r"your injured \1"),
    (r"\bsymptoms\b", "complaints"),
)


def everyday(text: str) -> str:
    """A pack's own words with the clinical ones in everyday speech."""
    for clinical, plain in _EVERYDAY:
        text = re.sub(clinical, plain, text)
    return text
