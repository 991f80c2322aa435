import type { ReactNode } from "react";
import { Button, Dialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import { Problem } from "./problem.tsx";

/** Asks before something is done; shows why it could not be done. */
export function Confirm({
  title,
  action,
  isDanger = false,
  isBusy,
  isDisabled = false,
  error,
  onConfirm,
  onClose,
  children,
}: {
  readonly title: string;
  /** What the button says, a verb. */
  readonly action: string;
  readonly isDanger?: boolean;
  readonly isBusy: boolean;
  readonly isDisabled?: boolean;
  readonly error: unknown;
  onConfirm(): void;
  onClose(): void;
  readonly children: ReactNode;
}) {
  return (
    <ModalOverlay
      isOpen
      isDismissable={!isBusy}
      onOpenChange={(isOpen) => isOpen || onClose()}
      className="overlay"
    >
      <Modal className="modal">
        <Dialog role="alertdialog">
          <Heading slot="title">{title}</Heading>
          {children}
          {error !== null && error !== undefined && <Problem error={error} />}
          <div className="buttons">
            <Button onPress={onClose} isDisabled={isBusy}>
              Back
            </Button>
            <Button
              className={isDanger ? "danger" : "primary"}
              isPending={isBusy}
              isDisabled={isDisabled}
              onPress={onConfirm}
              autoFocus
            >
              {action}
            </Button>
          </div>
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
