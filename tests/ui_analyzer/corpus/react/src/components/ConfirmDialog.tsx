interface ConfirmDialogProps {
  title: string;
  onConfirm: () => void;
  onClose: () => void;
}

export function ConfirmDialog({ title, onConfirm, onClose }: ConfirmDialogProps) {
  return (
    <dialog open aria-labelledby="confirm-title">
      <h2 id="confirm-title">{title}</h2>
      <button type="button" onClick={onConfirm}>
        Yes
      </button>
      <button type="button" onClick={onClose}>
        No
      </button>
    </dialog>
  );
}
