import { Command } from "commander";

/** A command whose options take long to load. They are loaded when it is called, explained or completed. */
export class LazyCommand extends Command {
  #addOptions: (() => Promise<void>) | undefined;

  /** @param addOptions called once, with this command */
  constructor(name: string, addOptions: (command: Command) => Promise<void>) {
    super(name);
    this.#addOptions = () => addOptions(this);
  }

  async loadOptions(): Promise<void> {
    const addOptions = this.#addOptions;
    this.#addOptions = undefined;
    await addOptions?.();
  }
}

/** Loads the options of a command that has not done so yet. */
export async function loadOptions(command: Command | undefined): Promise<void> {
  if (command instanceof LazyCommand) await command.loadOptions();
}
