//! A real X11 desktop between a real agent and a real console: an Xvfb of this test's own, and a small X program that
//! is looked at, clicked and typed into.
#![expect(clippy::disallowed_methods, reason = "a test starts the X server it needs")]

use super::place::{self, Place, SITE};
use equipoise::{
    agent::{self, Allow, Show},
    client::Transport,
};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};
use x11rb::{
    connection::Connection,
    protocol::{
        Event,
        xinput::{self, ConnectionExt as _},
        xproto::{ConnectionExt as _, CreateWindowAux, EventMask, GrabMode, GrabStatus, Screen, WindowClass},
    },
    rust_connection::RustConnection,
    wrapper::ConnectionExt as _,
};

const WIDTH: u16 = 640;
const HEIGHT: u16 = 400;
const COLOUR: u32 = 0x0020_40c0;

struct Server {
    child: Child,
    display: String,
}

impl Server {
    /// None, loudly, where there is no Xvfb: `.ci/run tools` installs it.
    fn start() -> Option<Self> {
        // Without `-noreset` it starts over when its last program leaves, and turns away who comes meanwhile.
        let mut command = Command::new("Xvfb");
        command.args([
            "-displayfd",
            "1",
            "-noreset",
            "-screen",
            "0",
            &format!("{WIDTH}x{HEIGHT}x24"),
            "-nolisten",
            "tcp",
        ]);
        let Ok(mut child) = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else {
            eprintln!("SKIPPED: Xvfb is not installed, so no desktop was tested; `.ci/run tools` installs it");
            return None;
        };
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Self { child, display: format!(":{}", line.trim()) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A window over the whole screen that notes what it is sent.
struct Program {
    connection: RustConnection,
}

impl Program {
    fn open(display: &str) -> Self {
        let (connection, screen) = RustConnection::connect(Some(display)).unwrap();
        let Screen { root, root_depth, root_visual, .. } = connection.setup().roots[screen];
        let window = connection.generate_id().unwrap();
        let wanted = EventMask::BUTTON_PRESS | EventMask::BUTTON_RELEASE | EventMask::KEY_PRESS | EventMask::EXPOSURE;
        let aux = CreateWindowAux::new().background_pixel(COLOUR).event_mask(wanted).override_redirect(1);
        let class = WindowClass::INPUT_OUTPUT;
        connection.create_window(root_depth, window, root, 0, 0, WIDTH, HEIGHT, 0, class, root_visual, &aux).unwrap();
        connection.map_window(window).unwrap();
        let focus = x11rb::protocol::xproto::InputFocus::PARENT;
        connection.sync().unwrap();
        let program = Self { connection };
        program.until(|event| matches!(event, Event::Expose(_)).then_some(()));
        program.connection.set_input_focus(focus, window, x11rb::CURRENT_TIME).unwrap().check().unwrap();
        program
    }

    /// Waits for an event; the test as a whole is bounded by what else it waits for.
    fn until<T>(&self, mut seen: impl FnMut(&Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = seen(&self.connection.wait_for_event().unwrap()) {
                return found;
            }
        }
    }

    /// The characters of so many keys, as this program's keyboard reads them.
    fn typed(&self, count: usize) -> Vec<u32> {
        let mut typed = Vec::new();
        while typed.len() < count {
            let (key, shifted) = self.until(|event| match event {
                Event::KeyPress(press) => Some((press.detail, u16::from(press.state) & 1 != 0)),
                _ => None,
            });
            let mapping = self.connection.get_keyboard_mapping(key, 1).unwrap().reply().unwrap();
            let sym = mapping.keysyms[usize::from(shifted)];
            // Shift and control are keys too.
            if !(0xffe1..=0xffee).contains(&mapping.keysyms[0]) {
                typed.push(sym);
            }
        }
        typed
    }
}

/// Width, height and the pixel at a place of a PNG file.
fn picture(file: &std::path::Path, x: usize, y: usize) -> (u32, u32, [u8; 3]) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(std::fs::read(file).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let shown = reader.next_frame(&mut pixels).unwrap();
    let at = (y * shown.width as usize + x) * 3;
    (shown.width, shown.height, [pixels[at], pixels[at + 1], pixels[at + 2]])
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_1_the_real_screen_is_shown_clicked_and_typed_into() {
    let Some(server) = Server::start() else { return };
    let program = Program::open(&server.display);
    let place = Place::open(SITE).await;
    let options = place.options(Transport::Ws, Allow::All, &place.folder("share")).await;
    let options = agent::Options { screen: Show::Desktop(Some(server.display.clone())), ..options };
    let (mut customer, mut rep) = place.serving_with(options).await;

    rep.line("screen --control", &format!("pictures of {WIDTH}×{HEIGHT}")).await;
    let (shot, capture) = (place.path("shot.png"), place.path("capture.png"));
    rep.line(&format!("shot {}", shot.display()), "bytes of PNG").await;
    rep.line(&format!("capture {}", capture.display()), "bytes of PNG").await;
    for file in [&shot, &capture] {
        assert_eq!(picture(file, 320, 200), (WIDTH.into(), HEIGHT.into(), [0x20, 0x40, 0xc0]));
    }

    rep.type_in("click 123 45\n").await;
    let program = tokio::task::spawn_blocking(move || {
        let pressed = program.until(|event| match event {
            Event::ButtonPress(press) => Some((press.detail, press.event_x, press.event_y)),
            _ => None,
        });
        assert_eq!(pressed, (1, 123, 45));
        program
    })
    .await
    .unwrap();
    rep.type_in("type aB €\n").await;
    rep.type_in("press left\n").await;
    let (program, typed) = tokio::task::spawn_blocking(move || {
        let typed = program.typed(5);
        (program, typed)
    })
    .await
    .unwrap();
    assert_eq!(typed, [u32::from('a'), u32::from('B'), u32::from(' '), 0x0100_20ac, 0xff51]);
    drop(program);

    rep.line("screen stop", "pictures of").await;
    rep.type_in("end\nquit\n").await;
    rep.left().await.unwrap();
    customer.ended().await.unwrap();
    place.close().await;
}

/// How many of the person's own keyboard and mouse are theirs: another program could take it for itself.
fn free(display: &str) -> usize {
    let (connection, screen) = RustConnection::connect(Some(display)).unwrap();
    let root = connection.setup().roots[screen].root;
    connection.xinput_xi_query_version(2, 2).unwrap().reply().unwrap();
    let own = connection.xinput_xi_query_device(0u16).unwrap().reply().unwrap().infos;
    let own: Vec<_> = own.into_iter().filter(|device| device.name.starts_with(b"Xvfb ")).collect();
    assert_eq!(own.len(), 2, "a keyboard and a mouse");
    let is_free = |device: &&xinput::XIDeviceInfo| {
        let (mode, owner) = (GrabMode::ASYNC, xinput::GrabOwner::NO_OWNER);
        let grab = connection.xinput_xi_grab_device(root, 0u32, 0, device.deviceid, mode, mode, owner, &[0]).unwrap();
        grab.reply().unwrap().status == GrabStatus::SUCCESS
    };
    own.iter().filter(is_free).count()
}

async fn until_free(display: &str, wanted: usize) {
    place::until_some(|| (free(display) == wanted).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_4_whoever_is_held_back_has_neither_keyboard_nor_mouse_and_the_rep_has() {
    let Some(server) = Server::start() else { return };
    let program = Program::open(&server.display);
    let place =
        Place::open(&SITE.replace(" screen = ", " customer_restrictions = \"display_and_input\", screen = ")).await;
    let options = place.options(Transport::Ws, Allow::All, &place.folder("share")).await;
    let options = agent::Options { screen: Show::Desktop(Some(server.display.clone())), ..options };
    let (mut customer, mut rep) = place.serving_with(options).await;
    rep.line("screen --control", &format!("pictures of {WIDTH}×{HEIGHT}")).await;
    rep.line("restrict display_and_input", "unsupported: this end cannot hide its screen").await;
    assert_eq!(free(&server.display), 2);

    rep.line("restrict input", "it is said at the customer's end").await;
    customer.until("do nothing for now").await;
    until_free(&server.display, 0).await;
    rep.type_in("click 123 45\n").await;
    tokio::task::spawn_blocking(move || {
        program.until(|event| matches!(event, Event::ButtonPress(press) if press.event_x == 123).then_some(()));
    })
    .await
    .unwrap();

    rep.line("restrict off", "it is said at the customer's end").await;
    customer.until("are yours again").await;
    until_free(&server.display, 2).await;

    // The person's own stop, and the end of the program.
    for stop in [true, false] {
        rep.line("restrict input", "it is said at the customer's end").await;
        customer.until("do nothing for now").await;
        until_free(&server.display, 0).await;
        match stop {
            true => customer.type_in("stop customer_restrictions").await,
            false => customer.leave().await.unwrap(),
        }
        until_free(&server.display, 2).await;
    }
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_1_who_only_views_gets_no_input_across() {
    let Some(server) = Server::start() else { return };
    let place = Place::open(&SITE.replace("screen = \"control\"", "screen = \"view\"")).await;
    let options = place.options(Transport::Ws, Allow::All, &place.folder("share")).await;
    let options = agent::Options { screen: Show::Desktop(Some(server.display.clone())), ..options };
    let (mut customer, mut rep) = place.serving_with(options).await;
    rep.line("screen --control", "permission `screen` by default").await;
    rep.line("screen", &format!("pictures of {WIDTH}×{HEIGHT}")).await;
    rep.line("click 1 1", "not under control").await;
    rep.line("clip x", "permission `clipboard`").await;
    customer.leave().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_3_the_desktops_clipboard_goes_both_ways() {
    let Some(server) = Server::start() else { return };
    let place = Place::open(SITE).await;
    let (here, there) = (place.options(Transport::Ws, Allow::All, &place.folder("share")).await, place.folder("other"));
    // Keys are made before the rep is there: making one is a connection of the same rep.
    let again = place.options(Transport::Ws, Allow::All, &there).await;
    let show = Show::Desktop(Some(server.display.clone()));
    let (mut customer, mut rep) = place.serving_with(agent::Options { screen: show.clone(), ..here }).await;
    rep.line("clip Grüße", "sent").await;
    customer.until("the clipboard holds: Grüße").await;
    rep.line("clip", "Grüße").await;
    rep.type_in("end\n").await;
    customer.ended().await.unwrap();

    // Another program of the same desktop copied what is fetched: a second endpoint, once the first has gone.
    let mut other = place.customer_with(agent::Options { screen: show, ..again }).await;
    rep.until("accept or reject").await;
    rep.line("accept", "you serve").await;
    other.type_in("clip from the desktop").await;
    other.until("Copied.").await;
    rep.line("clip", "from the desktop").await;
    other.leave().await.unwrap();
    place.close().await;
}
