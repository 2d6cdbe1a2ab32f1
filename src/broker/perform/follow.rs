//! What each event means to those who see it: one arm an event, long ones in the file of what they touch.

use super::{
    Finals, Performer,
    enter::invited,
    says::{offer_gone, prompted, requested, told},
    sessions::members,
};
use crate::{
    broker::{refused, resolve, view, views::push},
    engine::{
        Event, Queue, State,
        event::{AnsweredHow, LogoutReason},
    },
    ids::*,
    limits,
    site::Problem,
    wire::{
        CloseCode,
        control::{Ev, Refused},
    },
};

impl Performer {
    pub(super) fn follow(&mut self, event: &Event, finals: &Finals, state: &State, head: Seq) {
        let site = &state.site;
        match event {
            Event::LoggedIn { user } | Event::OptedIn { user } | Event::OptedOut { user } => {
                self.views.rep_changed(*user)
            }
            Event::StatusSet { user, .. } | Event::WentIdle { user, .. } | Event::WentActive { user } => {
                self.views.rep_changed(*user);
            }
            Event::LogoutNotice { user, minutes } => {
                self.tell_rep(*user, head, || Ev::LogoutNotice { minutes: *minutes });
            }
            Event::DisclaimerAgreed { session } => self.views.session_changed(*session),
            Event::NoticePublished { .. } => self.views.notices_changed(),
            Event::NoticeGone { notice, .. } => self.views.waiting_room.notice_gone(*notice, head),
            Event::SeatTimedOut { user } => self.tell_rep(*user, head, || Ev::Reauthenticate {}),
            Event::LoggedOut { user, reason } => {
                self.views.rep_changed(*user);
                if let Some(connection) = self.shared.directory.connection(Party::Rep(*user)) {
                    push(&connection, head, Ev::LoggedOut { reason: view::name_of(reason) });
                    let code = match reason {
                        LogoutReason::Asked => CloseCode::Normal,
                        LogoutReason::Disabled | LogoutReason::Expired | LogoutReason::Deleted => CloseCode::Forbidden,
                        _ => CloseCode::Unauthenticated,
                    };
                    connection.close(code, "logged out");
                }
                self.shared.tokens.revoke_user(*user);
            }
            Event::Attached { party, .. } => self.presence_changed(*party, state, head),
            Event::Detached { party, epoch } => {
                self.detached(*party, *epoch, state);
                self.presence_changed(*party, state, head);
            }
            Event::TokensRevoked { party } => {
                if let Some(connection) = self.shared.directory.connection(*party) {
                    connection.close(CloseCode::Gone, "no token of this party is good any more: sign in or join again");
                }
            }
            Event::ItemKeyGone { item, .. } => {
                if let Some(connection) = self.shared.directory.connection(Party::JumpClient(*item)) {
                    connection.close(CloseCode::Gone, "the jump item has no key any more");
                }
            }
            Event::UserDisabled { user } => self.shared.tokens.revoke_user(*user),
            Event::CredentialSet { user, .. }
            | Event::SecondFactorSet { user, .. }
            | Event::SecondFactorRemoved { user } => {
                let version = state.accounts.credential(*user).map_or(u32::MAX, |credential| credential.version);
                self.shared.tokens.revoke_older(*user, version);
            }

            Event::Asked { session, .. } | Event::Queued { session, .. } => {
                if let Some(found) = state.session(*session) {
                    self.members.insert(*session, members(found));
                }
                self.views.session_changed(*session);
                if let Event::Asked { ask, .. } = event
                    && let Some(item) = ask.item
                {
                    self.tell(Party::JumpClient(item), head, || Ev::Jumped { session: session.0 });
                }
            }
            Event::JobMade { job, .. } => self.call_to_jobs_of(*job, state, head),
            Event::JobCancelled { job, .. } | Event::JobExpired { job, .. } => {
                self.call_to_jobs_of(*job, state, head);
                self.tell_if_over(*job, state, head);
            }
            Event::JobEnded { job, item, .. } => {
                self.call_to_job(*item, false, state, head);
                self.tell_if_over(*job, state, head);
            }
            Event::Offered { session, rep, team, expires_at, .. } => {
                self.views.session_changed(*session);
                let info = site.options.show_session_information && state.session(*session).is_some();
                let info = info.then(|| Box::new(self.session_view(state, *session)));
                let team = resolve::address(site, Queue::Team(*team));
                let expires_at_ms = expires_at.0;
                self.tell_rep(*rep, head, || Ev::Offer { session: session.0, team, expires_at_ms, info });
            }
            Event::OfferWarned { session, rep } => {
                let offer = state.session(*session).and_then(|found| found.waiting()?.offer.as_ref());
                if let Some(expires_at_ms) = offer.map(|offer| offer.expires_at.0) {
                    self.tell_rep(*rep, head, || Ev::OfferWarning { session: session.0, expires_at_ms });
                }
            }
            Event::OfferTimeout { session, rep } => {
                self.views.session_changed(*session);
                self.tell_rep(*rep, head, || offer_gone(*session, "timeout"));
            }
            Event::OfferWithdrawn { session, rep, reason } => {
                self.views.session_changed(*session);
                self.tell_rep(*rep, head, || offer_gone(*session, reason));
            }
            Event::Invited { session, by, to, expires_at, .. } => {
                self.inviting.entry(*session).or_default().push((*to, *by));
                for user in invited(site, *to) {
                    self.tell_invited(user, *session, *by, *expires_at, state, head);
                }
            }
            Event::InviteGone { session, to, reason } => {
                if let Some(by) = self.inviter(*session, *to) {
                    let (to, reason) = (resolve::address(site, *to), reason.clone());
                    self.tell_rep(by, head, || Ev::InvitationGone { session: session.0, to, reason });
                }
            }
            Event::MailFailed { session, by, address } => {
                self.tell_rep(*by, head, || Ev::MailFailed { session: session.0, address: address.clone() });
            }
            Event::Accepted { session, rep, participant, .. } | Event::Joined { session, rep, participant, .. } => {
                self.sit_down(*session, Party::Rep(*rep), *participant, state, head);
                self.views.rep_changed(*rep);
            }
            Event::ExternalJoined { session, participant, .. } => {
                let external = (Party::External(*session, *participant), *participant);
                let members = self.members.entry(*session).or_default();
                if !members.contains(&external) {
                    members.push(external);
                }
                self.views.session_changed(*session);
                self.tell_customer_who_serves(*session, state, head);
            }
            Event::ExternalLeft { session, participant, reason } => {
                let party = Party::External(*session, *participant);
                self.stand_up(*session, party, state, head);
                if let Some(connection) = self.shared.directory.connection(party) {
                    push(&connection, head, Ev::Ended { session: session.0, reason: reason.clone() });
                    connection.close(CloseCode::SessionEnded, "you are not in the session any more");
                }
            }
            Event::ExtendedSet { user, .. } => self.views.rep_changed(*user),
            Event::Departed { session, rep, .. } => {
                self.stand_up(*session, Party::Rep(*rep), state, head);
                self.views.rep_changed(*rep);
            }
            Event::Rejected { session, .. }
            | Event::Overdue { session, .. }
            | Event::Relaxed { session, .. }
            | Event::Held { session }
            | Event::Resumed { session } => self.views.session_changed(*session),
            Event::Moved { session, .. } => {
                self.follow_participants(*session, state, head);
                self.views.session_changed(*session);
            }
            Event::OwnerChanged { session, .. } => {
                self.follow_participants(*session, state, head);
                self.views.session_changed(*session);
                self.tell_customer_who_serves(*session, state, head);
                self.tell_permissions(*session, state, head);
            }
            Event::ControlGiven { session, .. } => self.views.session_changed(*session),
            Event::FieldSet { session, .. }
            | Event::ExternalKeySet { session, .. }
            | Event::LocaleSet { session, .. } => {
                self.views.session_changed(*session);
                self.tell_watcher(*session, state, head);
            }
            Event::Ended { session, reason } => self.ended(*session, view::name_of(reason), head),

            // Where nobody sits the same turn has answered it: nobody is shown a question (P4.5).
            Event::Prompted { session, prompt, .. } => {
                let tools = state.tools.session(*session);
                if let Some(asked) = tools.and_then(|tools| tools.prompts.get(prompt)) {
                    self.tell(Party::Customer(*session), head, || prompted(state, *session, *prompt, asked));
                }
            }
            Event::PromptAnswered { session, prompt, how, .. } if *how != AnsweredHow::Nobody => {
                let (session, prompt) = (*session, *prompt);
                let gone = Ev::PromptGone { session: session.0, prompt: prompt.0 };
                self.tell(Party::Customer(session), head, || gone);
            }
            Event::OpenRequested { session, open, by, .. } => {
                self.openers.insert((*session, *open), *by);
            }
            Event::OpenOffered { session, open, to } => {
                let request = state.tools.session(*session).and_then(|tools| tools.opens.get(open));
                if let (Some(request), Some(party)) = (request, self.party_at(*session, *to)) {
                    let ev = requested(*session, *open, request);
                    self.tell(party, head, || ev);
                }
            }
            Event::OpenRefused { session, open, code, reason, cause } => {
                let by = self.openers.remove(&(*session, *open));
                if let Some(party) = by.and_then(|by| self.party_at(*session, by)) {
                    let (tool, source) = told(cause);
                    let refused = Refused { tool, source, ..refused(code, reason) };
                    let (session, open) = (session.0, open.0);
                    self.tell(party, head, || Ev::RefusedOpen { session, open, refused });
                }
            }
            Event::Opened { session, open, tool, channels, facts } => {
                self.opened((*session, *open, *tool), channels, facts, state, head);
            }
            Event::LegOpened { session, channel, reader } => {
                self.leg_opened(*session, *channel, *reader, state, head);
            }
            Event::LegClosed { session, channel, reader, reason, cause } => {
                if let Some(party) = self.party_at(*session, *reader) {
                    let at = finals.at(*channel, *reader);
                    let (session, channel, reason) = (session.0, channel.0, reason.clone());
                    let (tool, source) = told(cause);
                    self.tell(party, head, || Ev::Closed { session, channel, reason, at, tool, source });
                }
            }
            Event::ChannelClosed { session, channel, reason, cause } => {
                self.channel_closed((*session, *channel), reason, cause, finals, head);
            }
            Event::Noted { session, channel, by, facts } => {
                self.noted((*session, *channel), *by, facts, state, head);
            }
            Event::PermissionsChanged { session, .. }
            | Event::ChatSet { session, on: true, .. }
            | Event::Restricted { session, .. }
            | Event::RestrictionsLifted { session, .. }
            | Event::TerminationSet { session, .. } => self.tell_permissions(*session, state, head),
            Event::RightsJudged { sessions } => {
                sessions.iter().for_each(|(session, _)| self.tell_permissions(*session, state, head));
            }
            Event::SiteApplied { .. } | Event::TeamDeleted { .. } => {
                self.said.forget();
                if let Event::SiteApplied { site } = event {
                    for Problem { key, message, .. } in site.warnings().into_iter().take(limits::WARNINGS_NAMED) {
                        tracing::warn!(key, "{message}");
                    }
                }
                self.views.site_changed(state);
            }
            _ => {}
        }
    }
}
