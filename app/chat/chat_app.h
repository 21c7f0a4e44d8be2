// The interactive program without its descriptors: keys become commands and prompts, the session's
// state becomes a screen. The loop around it is chat_loop.cpp; tests drive it directly.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/chat/attachments.h"
#include "app/chat/bell.h"
#include "app/chat/browser.h"
#include "app/chat/chat_models.h"
#include "app/chat/chat_settings.h"
#include "app/chat/key_prefix.h"
#include "app/chat/panel.h"
#include "app/chat/theme_watch.h"
#include "app/chat/transcript_feed.h"
#include "app/commands/key_bindings.h"
#include "app/machine/background_command.h"
#include "app/machine/terminal_guest.h"
#include "app/session/chat_session.h"
#include "core/chat/channel.h"
#include "ui/keys.h"
#include "ui/line_editor.h"
#include "ui/screen.h"
#include "ui/terminal.h"
#include "ui/theme.h"

namespace app {

struct ChatOptions {
    std::string model_path = {};
    bool model_chosen = false;  // by the user; a conversation that is opened keeps its own else
    // The conversation to open: the beginning of its id, or empty for the last one.
    std::optional<std::string> resume = {};
    bool open_last = false;        // where the configuration says so and nothing else is asked for
    bool temporary = false;        // nothing of this session is kept
    std::string data_folder = {};  // of the saved conversations; empty: nothing is saved
    Config config = {};
    SamplingLayers sampling = {};
    std::vector<ModelPlace> model_places = {};  // none: no models are looked for
    std::string system = {};
    bool system_chosen = false;  // by a flag; a conversation that is opened keeps its own else
    std::string template_name = {};
    uint32_t context = 0;
    chat::KvTypeChoice kv = chat::KvTypeChoice::f16;
    std::vector<std::string> stop = {};
    std::string control_socket = {};  // test only; empty: none
    std::string theme = {};
    std::string history_file = {};  // of prompts; empty: they are forgotten
    bool bundled_model = false;     // nobody chose the model: say what it is
};

// A question that waits for one key. n, Esc, C-c and C-g are no; every other key is nothing.
struct KeyQuestion {
    struct Answer {
        std::string_view key;
        std::function<void(ChatApp& app)> action;
    };
    std::string text;
    std::vector<Answer> answers;
};

class ChatApp {
  public:
    // Without a store nothing is saved.
    ChatApp(const ChatOptions& options, chat::Channel& channel, ui::LineEditor& editor,
            ui::Terminal& terminal, core::StoreChannel* store = nullptr);

    void start(TimePoint now);
    // What the loop has seen.
    void on_input(std::string_view bytes, TimePoint now);
    void on_events(TimePoint now);
    void on_resize();
    // The file of the theme has changed: what is wrong with it is told, and the old one stays.
    ThemeWatch& theme_watch() { return theme_watch_; }
    void on_theme_changed();
    // The search for models has ended.
    void on_models_found();
    void on_timeout(TimePoint now);
    // Ctrl-C by whatever way: stop, else clear the line, else say how to quit.
    void interrupt(TimePoint now);

    // Draws when something has changed and it is time: keys show at once, tokens at most kFps times
    // a second. Returns whether it drew.
    bool draw(TimePoint now);
    // When on_timeout() or draw() have something to do next; nothing: only events can tell.
    std::optional<TimePoint> next_wakeup() const;

    // What is not saved yet is given to the store. The last call.
    void end(TimePoint now);

    // For the loop.
    std::optional<int> exit_status() const { return exit_status_; }
    void quit(int status) { exit_status_ = status; }
    bool take_suspend() { return std::exchange(suspend_, false); }
    std::optional<Errand> take_errand() { return std::exchange(errand_, std::nullopt); }
    // After a guest had the terminal; `done` of its errand.
    void on_returned(const Errand& errand, int status, TimePoint now);
    // After the shell had the terminal.
    void on_resumed(TimePoint now);
    // What stays on the shell's screen: title and the end of the last answer.
    std::string farewell() const;

    // For commands.
    ChatSession& session() { return session_; }
    const ChatSession& session() const { return session_; }
    ChatSettings& settings() { return settings_; }
    const ChatSettings& settings() const { return settings_; }
    ChatModels& models() { return models_; }
    const ChatModels& models() const { return models_; }
    // Loads what a name, a number or a path means, unless memory stands against it; then the user
    // is asked. Throws core::Error(model_not_found).
    void load_model(const std::string& wanted);
    const KeyBindings& bindings() const { return bindings_; }
    // The configuration was read again.
    void on_configured();
    ui::Transcript& transcript() { return transcript_; }
    const ui::Transcript& transcript() const { return transcript_; }
    TranscriptFeed& feed() { return feed_; }
    // Throws core::Error(config); then the theme stays as it was.
    void use_theme(const std::string& name);
    const std::string& theme_name() const { return theme_name_; }
    void toast(std::string text, TimePoint now);
    void say(std::string text) { session_.say(std::move(text)); }
    // The same of what may be longer than the screen: it is read from its beginning.
    void say_at_length(std::string text);
    void refuse(std::string sentence) { session_.say(std::move(sentence), true); }
    // What a command came to: why it did nothing, or nothing, and then its result is shown.
    void report(const std::optional<std::string>& trouble);
    void new_chat(bool temporary);
    // Puts a turn's text into the composer; what is entered then takes its place, as a sibling.
    void begin_edit(chat::TurnId turn);
    // Opens the panel of that name, or closes it; one at a time.
    void toggle_panel(std::string_view name);
    void open_panel(std::string_view name);
    // Does this as soon as the conversation that is being opened is there.
    void when_open(std::string conversation, std::function<void(ChatApp& app)> action) {
        when_open_ = {std::move(conversation), std::move(action)};
    }
    // Selects a turn of the line, which then has the keyboard; 0: none has.
    void browse(chat::TurnId turn);
    chat::TurnId browsed() const { return browsed_; }
    Browser& browser() { return browser_; }
    bool vi_mode() const { return editor_.is_vi(); }
    void copy(const std::string& text, std::string_view what);
    // Puts a text into the composer.
    void compose(const std::string& text) { editor_.set_text(text); }
    // Adds one where the cursor is, as a paste does; or empties it, for C-y to bring back.
    void insert(std::string_view text) { editor_.paste(text); }
    void clear_line() { editor_.kill_line(); }
    // What goes with the message that is in it.
    MessageFiles& message_files() { return message_files_; }
    void ask(KeyQuestion question) { question_ = std::move(question); }
    // A command of the shell beside the chat (commands_run.cpp); null: none runs. What it prints
    // goes with the next message.
    void run_in_background(const std::string& line);
    const BackgroundCommand* background() const { return background_.get(); }
    void on_background(TimePoint now);  // its descriptor is readable
    // Another program gets the terminal.
    void go_out(Errand errand) { errand_ = std::move(errand); }
    TimePoint now() const { return now_; }
    // The keyboard's part of the line editor.
    void give_to_editor(std::string_view bytes);
    void insert_newline() { editor_.insert_newline(); }
    void end_of_input();
    void suspend() { suspend_ = true; }
    void repaint() { terminal_.repaint(); }
    void zoom() { zoomed_ = !zoomed_; }

    // For the control socket and tests.
    const ui::Surface& screen() const { return screen_; }
    std::optional<ui::Position> cursor() const { return cursor_; }
    std::string composer_text() const { return editor_.text(); }

  private:
    void dispatch(const ui::Input& input);
    void on_key(const ui::Key& key);
    bool on_browse_key(const ui::Key& key, std::string_view name);
    bool on_offer_key(std::string_view name);
    bool on_panel_key(const ui::Key& key, std::string_view name);
    void on_paste(const std::string& text);
    bool on_question_key(std::string_view name);
    bool move_vertically(const ui::Key& key);
    void submit(const std::string& line);
    void send_message(const std::string& line);
    void changed_by_user();
    std::string number_of(chat::TurnId turn) const;

    static constexpr std::chrono::milliseconds kStatusPeriod{250};
    // Nothing on the screen changes by itself.
    bool no_motion() const { return settings_.config().boolean("access.no_motion"); }
    std::chrono::milliseconds frame() const {
        return std::chrono::milliseconds(1000 / settings_.config().integer("ui.fps"));
    }

    LoadPlan plan_load(const std::string& path) const;
    void follow();
    void greet();
    void name_when_idle();
    bool answer_question(const std::string& line);

    void sync_transcript();
    void refresh_status();
    std::string differences_text() const;
    ui::ScreenState screen_state() const;

    // Constant after construction.
    const ChatOptions options_;
    std::string theme_trouble_;  // why it is not the one that is configured

    ui::Theme theme_;
    std::string theme_name_;
    ThemeWatch theme_watch_;
    ChatSettings settings_;
    KeyBindings bindings_;
    ChatModels models_;
    ChatSession session_;
    ui::LineEditor& editor_;
    ui::Terminal& terminal_;
    ui::KeyDecoder decoder_;
    ui::Transcript transcript_;
    TranscriptFeed feed_{session_, message_files_, transcript_};
    ui::Surface screen_{ui::Size{}};
    std::optional<ui::Position> cursor_;

    TimePoint now_;
    std::optional<TimePoint> greeting_due_;  // the first run's, at the latest
    TimePoint last_draw_;
    bool draw_soon_ = true;  // the engine changed something
    bool draw_now_ = true;   // the user did
    uint32_t shown_conversation_ = 0;
    std::optional<uint32_t> named_conversation_;  // by the model, unasked
    std::vector<ui::StatusSegment> status_;
    TimePoint status_time_;
    bool status_behind_ = false;  // numbers were held back; shown when their time has come
    Activity status_activity_ = Activity::no_model;
    std::string toast_;
    TimePoint toast_end_;
    Bell bell_;
    KeyPrefix prefix_;
    bool zoomed_ = false;           // the composer
    std::unique_ptr<Panel> panel_;  // has the keyboard
    chat::TurnId browsed_ = 0;      // selected; has the keyboard
    Browser browser_;
    std::pair<std::string, std::function<void(ChatApp& app)>> when_open_;  // null: nothing
    chat::TurnId editing_ = 0;  // what the composer's text will take the place of
    std::optional<int> exit_status_;
    bool suspend_ = false;
    std::optional<Errand> errand_;
    std::optional<KeyQuestion> question_;
    std::unique_ptr<BackgroundCommand> background_;
    MessageFiles message_files_;
    bool quit_confirmed_ = false;
};

// What the configuration says about colours.
ui::ColorWish color_wish(const Config& config);

// Runs the chat on the terminal of the process until the user leaves; returns the exit status.
// Something must be attached to the channel, or become so; `store` may be null: nothing is saved.
// `notice`: what the user should know first; may be empty. Throws core::Error(terminal).
int run_chat(const ChatOptions& options, chat::Channel& channel, core::StoreChannel* store,
             const std::string& notice);

// Blocks the signals that run_chat() reads from a descriptor, in this thread and all that it
// starts. REQUIRES: called before the engine's threads are started.
void block_chat_signals();

}  // namespace app
