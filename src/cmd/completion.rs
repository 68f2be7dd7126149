//! `completion`: scripts for shells. What may come next is said by [`crate::cmd::complete`].

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

/// Print a completion script for a shell.
#[derive(Args, Clone, Debug)]
#[command(help_template = crate::cmd::HELP, before_help = "Examples:
  # for this shell
  source <(kubectl podlife completion bash)

  # PowerShell: kubectl runs this program for `kubectl podlife <TAB>`
  ln -s \"$(command -v kubectl-podlife)\" ~/.local/bin/kubectl_complete-podlife")]
pub struct CompletionArgs {
    /// Shell to print the script for
    #[arg(value_enum)]
    pub shell: CompletionShell,
}

/// Shells there is a script for; kubectl's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletionShell {
    /// GNU bash 4 and later.
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
    /// PowerShell
    Powershell,
}

/// The script, for `kubectl-podlife` and, but for PowerShell, `kubectl podlife`. Scripts ask the program itself for what may come next.
pub fn script(shell: CompletionShell, mut command: Command) -> String {
    match shell {
        CompletionShell::Bash => include_str!("completion/script.bash").to_owned(),
        CompletionShell::Zsh => include_str!("completion/script.zsh").to_owned(),
        CompletionShell::Fish => include_str!("completion/script.fish").to_owned(),
        CompletionShell::Powershell => {
            let mut script = Vec::new();
            generate(Shell::PowerShell, &mut command, "kubectl-podlife", &mut script);
            String::from_utf8_lossy(&script).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_has_a_script_for_the_binary() {
        for shell in CompletionShell::value_variants() {
            let command = Command::new("podlife").subcommand(Command::new("diagnose"));
            let script = script(*shell, command);
            let asks = script.contains("kubectl-podlife __complete") || script.contains("diagnose");
            assert!(script.contains("kubectl-podlife") && asks, "{shell:?}");
        }
    }
}
