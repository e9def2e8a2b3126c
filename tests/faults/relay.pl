#!/usr/bin/perl
# relay.pl SOCKET DAEMON BYTES: a daemon that dies: passes on BYTES towards the real one, then closes everything.
use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;

my ($path, $daemon, $left) = @ARGV;
unlink $path;
my $listener = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => $path, Listen => 1) or die $!;
chmod 0666, $path;
my $client = $listener->accept or die $!;
my $server = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $daemon) or die $!;
my $ready = IO::Select->new($client, $server);
while (my @some = $ready->can_read) {
    for my $from (@some) {
        my $n = sysread $from, my $data, $from == $client && $left < 65536 ? $left : 65536;
        exit unless $n;
        syswrite $from == $client ? $server : $client, $data;
        exit if $from == $client && ($left -= $n) <= 0;
    }
}
