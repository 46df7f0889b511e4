"""Mails about transitions: one connection a mail, sent in order by a thread of their own.

The standard library's smtplib holds the dialogue (HELO, MAIL FROM, RCPT TO, DATA, QUIT).
"""

from __future__ import annotations

import logging
import queue
import smtplib
import socket
import threading
from email.message import EmailMessage
from email.utils import formatdate

from lbfast.model.mail import Mail

logger = logging.getLogger(__name__)

_MAX_WAITING = 1000  # mails; a dead mail server must not fill the memory


def compose(mail: Mail, subject: str, body: str) -> EmailMessage:
    """Returns the mail as keepalived writes it."""
    host = socket.gethostname()
    message = EmailMessage()
    message["Date"] = formatdate()
    message["From"] = mail.sender or f"keepalived@{host}"
    message["Subject"] = f"[{mail.router_id or host}] {subject}"
    message["X-Mailer"] = "Keepalived"
    message["To"] = ", ".join(mail.recipients)
    message.set_content(f"=> {body} <=\n")
    return message


def send(mail: Mail, message: EmailMessage) -> None:
    """Sends one mail; OSError or smtplib.SMTPException where that fails."""
    name = mail.helo_name or socket.gethostname()
    with smtplib.SMTP(timeout=mail.connect_timeout_s) as smtp:
        smtp.connect(mail.server, mail.port)
        smtp.helo(name)
        smtp.send_message(message)


class Mailer:
    """Takes mails at once and sends them one after the other."""

    def __init__(self, mail: Mail) -> None:
        self.mail = mail
        self._waiting: queue.Queue[EmailMessage | None] = queue.Queue(_MAX_WAITING)
        self._thread: threading.Thread | None = None

    @property
    def is_on(self) -> bool:
        """Mails are sent only where there are a server and recipients."""
        return bool(self.mail.server and self.mail.recipients)

    def send(self, subject: str, body: str) -> None:
        if not self.is_on:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mail", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(compose(self.mail, subject, body))
        except queue.Full:
            logger.warning("mail %r lost: %d others wait already", subject, _MAX_WAITING)

    def _run(self) -> None:
        while (message := self._waiting.get()) is not None:
            try:
                send(self.mail, message)
            except (OSError, smtplib.SMTPException) as failed:
                logger.warning("mail %r not sent: %s", message["Subject"], failed)

    def close(self) -> None:
        """Lets the thread end after what it was given; does not wait for it."""
        if self._thread is not None:
            try:
                self._waiting.put_nowait(None)
            except queue.Full:
                logger.warning("mails are left unsent")
