//! The rows of the matrix, one test for each rule.

use super::holds;

#[test]
fn p3_1_the_screen_is_shown_and_controlled_as_far_as_the_value_goes() {
    holds("P3.1");
}

#[test]
fn p3_2_the_reps_own_screen() {
    holds("P3.2");
}

#[test]
fn p3_3_the_clipboard_by_direction() {
    holds("P3.3");
}

#[test]
fn p3_4_restrictions_of_the_customer() {
    holds("P3.4");
}

#[test]
fn p3_5_the_prompt_for_applications() {
    holds("P3.5");
}

#[test]
fn p3_6_annotations() {
    holds("P3.6");
}

#[test]
fn p3_7_files_by_direction() {
    holds("P3.7");
}

#[test]
fn p3_8_paths_on_both_sides() {
    holds("P3.8");
}

#[test]
fn p3_9_the_file_manager_browses_or_manages() {
    holds("P3.9");
}

#[test]
fn p3_10_the_shell() {
    holds("P3.10");
}

#[test]
fn p3_11_system_information_and_its_actions() {
    holds("P3.11");
}

#[test]
fn p3_12_the_registry() {
    holds("P3.12");
}

#[test]
fn p3_13_canned_scripts() {
    holds("P3.13");
}

#[test]
fn p3_14_script_deployment_and_embedded_scripts() {
    holds("P3.14");
}

#[test]
fn p3_15_elevation_and_elevated_tools() {
    holds("P3.15");
}

#[test]
fn p3_16_reboot() {
    holds("P3.16");
}

#[test]
fn p3_17_pinning_and_deploying_need_both_rights() {
    holds("P3.17");
}

#[test]
fn p3_18_chat() {
    holds("P3.18");
}

#[test]
fn p3_19_pushed_pages() {
    holds("P3.19");
}

#[test]
fn p3_20_files_through_chat() {
    holds("P3.20");
}

#[test]
fn p3_21_recording_by_hand() {
    holds("P3.21");
}

#[test]
fn p3_22_screen_capture() {
    holds("P3.22");
}

#[test]
fn p3_23_credentials() {
    holds("P3.23");
}

#[test]
fn p3_24_acts_between_reps() {
    holds("P3.24");
}

#[test]
fn p3_25_unattended_access_and_devices() {
    holds("P3.25");
}

#[test]
fn p3_26_co_browse_clicks_and_typing() {
    holds("P3.26");
}

#[test]
fn p3_27_webcam_and_voice_of_each_party() {
    holds("P3.27");
}

#[test]
fn p3_28_documents() {
    holds("P3.28");
}

#[test]
fn p3_29_fields_and_keys_are_written_by_whoever_takes_part_and_may() {
    holds("P3.29");
}

#[test]
fn p3_30_termination() {
    holds("P3.30");
}

#[test]
fn p3_32_domains() {
    holds("P3.32");
}

#[test]
fn r1_4_a_chat_session_has_the_chat_alone() {
    holds("R1.4");
}
