//! The tools of P3 and the options beside them, by the names of contract C1.

use serde::{Deserialize, Serialize};

macro_rules! tools {
    ($(#[$doc:meta])* $kind:ident { $($(#[$note:meta])* $variant:ident $name:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum $kind { $($(#[$note])* #[serde(rename = $name)] $variant),* }

        impl $kind {
            /// In the order of P3.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            pub const COUNT: usize = Self::ALL.len();

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

tools! {
    /// One row of P3: one permission of a session.
    Tool {
        Screen "screen", ShowMyScreen "show_my_screen", Clipboard "clipboard",
        CustomerRestrictions "customer_restrictions", AppSharingPrompt "app_sharing_prompt",
        Annotations "annotations", FileTransfer "file_transfer", CustomerPaths "customer_paths", RepPaths "rep_paths",
        FileManager "file_manager", Shell "shell", SystemInfo "system_info", SystemInfoActions "system_info_actions",
        Registry "registry", CannedScripts "canned_scripts", ScriptDeploy "script_deploy",
        EmbeddedScripts "embedded_scripts", Elevation "elevation", ElevatedTools "elevated_tools", Reboot "reboot",
        PinJumpClient "pin_jump_client", Deploy "deploy", Chat "chat", PushUrl "push_url", ChatFiles "chat_files",
        Record "record", ScreenCapture "screen_capture", Credentials "credentials", Hold "hold",
        Transfer "transfer", Collaborate "collaborate", InviteExternal "invite_external",
        PrivateSessions "private_sessions", Unattended "unattended", ConnectOnLan "connect_on_lan", Lens "lens",
        MobileSettings "mobile_settings", CobrowseClick "cobrowse_click", CobrowseType "cobrowse_type",
        CobrowseDomains "cobrowse_domains", Webcam "webcam", Voice "voice", DocumentShare "document_share",
        DocumentDownload "document_download", CustomFields "custom_fields", ExternalKey "external_key",
        Termination "termination",
    }
}

tools! {
    /// What rows of P3 call options and scopes: keys beside the tools, resolved by the same layers.
    ToolOption {
        /// P3.4: ask for a privacy screen when the session starts.
        PrivacyAtStart "privacy_at_start",
        /// P3.5: the applications offered for sharing.
        AppSharingApplications "app_sharing_applications",
        /// P3.11: how much a mobile device tells.
        SystemInfoMobile "system_info_mobile",
        /// P3.18.
        ChatAtStart "chat_at_start",
        ChatToggle "chat_toggle",
        /// P3.24: `any`, or addresses as `team:net` and `rep:ana`.
        TransferTo "transfer_to",
        CollaborateTo "collaborate_to",
        /// P3.24: `any`, or the approved mail addresses.
        InviteExternalTo "invite_external_to",
        /// P3.24: `any`, or of `pin`, `link`, `sms`, `calling_card`.
        PrivateWays "private_ways",
        /// P3.32: how a domain is compared.
        CobrowseDomainsMatch "cobrowse_domains_match",
        /// P3.30.
        TerminationOverride "termination_override",
        /// P3.31: delivered to the endpoint, which alone can honour them.
        MaskSelectors "mask_selectors",
        BlockedButtons "blocked_buttons",
        MobileDisplay "mobile_display",
    }
}

const fn numbered_in_order() -> bool {
    let mut at = 0;
    while at < Tool::COUNT {
        if Tool::ALL[at] as usize != at {
            return false;
        }
        at += 1;
    }
    true
}
const _: () = assert!(numbered_in_order(), "layers are indexed by tool");
